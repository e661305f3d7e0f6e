"""What every index shares: search in chunks, changes, versions on disk."""

import abc
import contextvars
import json
import operator
import os
import pathlib
import types
from typing import Any, Self

import numpy as np
import tensorflow as tf

from kerasdml.index import files
from kerasdml.index.items import (
    check_similarity,
    fingerprint,
    finite_rows,
    prepared,
)
from kerasdml.index.scanning import block_rows

# True while a search is compiled that runs in this process, and is exported to none.
SEARCHING_HERE = contextvars.ContextVar("searching_here", default=False)

# Float32 numbers that one step of a search may hold: 256 MB.
_NUMBERS_AT_ONCE = 2**26


class Index(tf.Module, abc.ABC):
    """Finds the stored embeddings most similar to a query: the base of every index.

    Make one with `build`, or read one with `load`. Of an `Exact` or `Scann` index,
    `add`, `update` and `remove` change what is found at once, in memory; `compact`
    folds changes in; `save` writes a new version of it. Threads may search at the same
    time, but not while one changes the index.

    Attributes:
        ids: `(size,)` identifiers, int64 or str, in the order of storage.
        labels: `(size,)` labels, int64 or str, or None.
        metadata: `(size,)` JSON texts, or None.
        similarity: How two embeddings are compared.
        size: How many embeddings are stored.
        dim: Their size.
        fingerprint: That of the embedder that made them, or None.
    """

    #: Namespaces of operations that a server needs beyond TensorFlow's own.
    op_namespaces = ()

    def __init__(self, similarity, embedder):
        super().__init__()
        check_similarity(similarity)
        self.similarity = similarity
        self.fingerprint = None if embedder is None else fingerprint(embedder)
        # A plain object, so that nothing in it is taken for a part of a SavedModel:
        # compiled searches, and where on disk the index came from.
        self._book = types.SimpleNamespace(compiled={}, key=None, origin=None)

    @abc.abstractmethod
    def add(self, embeddings, ids, labels=None, metadata=None) -> None:
        """Stores more embeddings; ids must be new."""

    @abc.abstractmethod
    def update(self, embeddings, ids, labels=None, metadata=None) -> None:
        """Replaces stored embeddings, their labels and metadata."""

    @abc.abstractmethod
    def remove(self, ids) -> None:
        """Removes embeddings."""

    @abc.abstractmethod
    def compact(self) -> None:
        """Folds changes in, so that searches are as fast as of a new index."""

    @abc.abstractmethod
    def _nearest(self, queries, k):
        """`(scores, positions)`, each `(q, k)`, of queries that are prepared."""

    @abc.abstractmethod
    def _nearest_among(self, queries, k, positions):
        """`_nearest` among some positions `(m,)`, a NumPy array, not in a graph."""

    @abc.abstractmethod
    def _key(self):
        """What must be equal for a compiled search to be still right."""

    @abc.abstractmethod
    def _write(self, directory):
        """Writes manifest and arrays; returns what `_saved` is told."""

    @classmethod
    @abc.abstractmethod
    def _read(cls, directory, manifest, mmap):
        """The index in a directory that `_write` filled."""

    def search(
        self,
        queries,
        k: int = 10,
        return_labels: bool = False,
        return_metadata: bool = False,
        labels=None,
    ):
        """Finds the `k` most similar embeddings of each query, closest first.

        Queries are searched in chunks, so memory stays bounded for any number.

        Args:
            queries: `(q, dim)` embeddings, finite. With "cosine", of a length ≥ 1e-19.
            k: Neighbours per query, 1 … `size`.
            return_labels: Whether to return the neighbours' labels too.
            return_metadata: Whether to return the neighbours' metadata too.
            labels: Only neighbours with one of these labels; None for any. They are
                compared one by one, exactly, whatever the index: time grows with how
                many there are.

        Returns:
            `(scores, ids)`, each `(q, k)`: similarities as float32, descending, and
            the identifiers of the neighbours. With `return_labels`, `(scores, ids,
            labels)`; with `return_metadata`, the values that were stored as the last.

        Raises:
            ValueError: If `queries` has another embedding size or is not finite, if
                `k` is not in 1 … `size`, or more than the embeddings of these labels,
                or if labels or metadata are asked for and there are none.

        Example:

        >>> scores, ids = index.search(embedder.predict(images), k=5)
        >>> scores, ids = index.search(queries, k=5, labels=["sparrow", "finch"])
        """
        if self.labels is None and (return_labels or labels is not None):
            raise ValueError("This index was built without `labels`.")
        if self.metadata is None and return_metadata:
            raise ValueError("This index was built without `metadata`.")
        k = self._check_k(k)
        queries = finite_rows(queries, "queries")
        self._check_dim(queries.shape)
        if labels is None:
            nearest = self._compiled(k)
        else:
            among = self._labelled(labels, k)

            def nearest(queries):
                queries = prepared(queries, self.similarity)
                return self._nearest_among(queries, k, among)

        scores, positions = self._in_chunks(nearest, queries, k)
        found = [scores, self.ids[positions]]
        if return_labels:
            found.append(self.labels[positions])
        if return_metadata:
            found.append(_values(self.metadata[positions]))
        return tuple(found)

    @tf.autograph.experimental.do_not_convert  # Nothing to convert: faster to trace.
    def search_tensors(self, queries, k: int):
        """Finds neighbours inside a TensorFlow graph, for instance one to be exported.

        All queries are searched at once: `(q, 4 M / dim)` similarities may be in
        memory.

        Args:
            queries: `(q, dim)` float32 tensor; q may be unknown, but not 0.
            k: Neighbours per query, a Python integer in 1 … `size`.

        Returns:
            `(scores, positions)`, each `(q, k)`: similarities as float32, descending,
            and int32 positions in `ids`, `labels` and `metadata`.

        Raises:
            ValueError: If `queries` has another embedding size, or `k` is not in 1 …
                `size`.
            tf.errors.InvalidArgumentError: If a query is not finite.
        """
        k = self._check_k(k)
        queries = tf.convert_to_tensor(queries, tf.float32)
        self._check_dim(queries.shape)
        scores, positions = self._nearest(prepared(queries, self.similarity), k)
        return tf.ensure_shape(scores, (None, k)), tf.ensure_shape(positions, (None, k))

    def save(self, path: str | os.PathLike, version: int | None = None) -> pathlib.Path:
        """Writes the index as a new version, `<path>/<version>/`, which `load` reads.

        A version holds `index.json` (class, counts, similarity, the embedder's
        fingerprint, SHA-256 of each file, and its own) and `.npy` files, none of them
        pickled. It appears whole or not at all, also if the process is killed or the
        disk is full; earlier versions stay as they are. Files that have not changed
        are shared with the version that the index was read from.

        Args:
            path: The index's directory.
            version: Number of the version, > 0. Default: 1, or the next one if the
                index was read from or saved to `path` last, and nobody has saved
                another version since.

        Returns:
            The `pathlib.Path` of the version.

        Raises:
            BlockingIOError: If another process or thread is saving to `path`.
            FileExistsError: If that version exists, or without `version`, if `path`
                holds an index that this one does not come from. Nothing is
                overwritten.
            ValueError: If `version` is not a positive integer, or `path` is itself a
                version of an index.
        """
        path = pathlib.Path(path)
        if (path / files.MANIFEST).exists():
            raise ValueError(
                f"{str(path)!r} is a version of an index. Save to the directory that "
                f"holds its versions, {str(path.parent)!r}."
            )
        with files.only_writer(path):
            target = path / str(self._next_version(path, version))
            with files.new_directory(target) as draft:
                written = self._write(draft)
        self._saved(written, target)
        return target

    @classmethod
    def load(
        cls,
        path: str | os.PathLike,
        dim: int | None = None,
        *,
        version: int | None = None,
        embedder: Any = None,
        mmap: bool = False,
    ) -> Self:
        """Reads an index of this class that `save` wrote.

        Args:
            path: Its directory, or that of one of its versions.
            dim: The embedding size it must have, such as your embedder's; None for
                any.
            version: Which version; None for the newest.
            embedder: The Keras model, or its fingerprint, that must have made the
                embeddings; None for any.
            mmap: Whether arrays stay on disk until they are needed, and may leave
                memory again. Of an `Exact` index of storage "int8" or "float16", only
                the codes are then read in a search, and the few rows that are scored.

        Returns:
            The index.

        Raises:
            FileNotFoundError: If there is no index, or no such version, at `path`.
            ValueError: If it is of another class, embedding size or embedder, or if a
                file is missing or was changed.
        """
        directory = newest(path, version)
        manifest = files.read_manifest(directory)
        if manifest["class"] != cls.__name__:
            raise ValueError(
                f"{str(path)!r} holds an index of class {manifest['class']!r}, not "
                f"{cls.__name__!r}. Read an index of any class with `index.load`."
            )
        _check_expected_dim(path, manifest, dim)
        loaded = cls._read(directory, manifest, mmap)
        stated, held = (manifest["size"], manifest["dim"]), (loaded.size, loaded.dim)
        if stated != held:
            raise ValueError(
                f"The manifest of {str(path)!r} states (size, dim) = {stated}, but its "
                f"files hold {held}. Copy or build the index anew."
            )
        if embedder is not None:
            loaded.check_embedder(embedder)
        loaded._book.origin = directory.resolve()
        return loaded

    def check_embedder(self, embedder: Any) -> None:
        """Raises a `ValueError` if another embedder is known to have made the index.

        Args:
            embedder: A Keras model, or a fingerprint.
        """
        if self.fingerprint not in (None, fingerprint(embedder)):
            raise ValueError(
                "The embeddings of this index are of another embedder: its fingerprint "
                f"is {self.fingerprint[:12]}…. Received: an embedder with the "
                f"fingerprint {fingerprint(embedder)[:12]}…. Embed the collection anew."
            )

    def _in_chunks(self, nearest, queries, k):
        scores = np.empty((len(queries), k), "float32")
        positions = np.empty((len(queries), k), "int64")
        chunk = max(1, _NUMBERS_AT_ONCE // self._numbers_of_a_query(k))
        for start in range(0, len(queries), chunk):
            rows = slice(start, start + chunk)
            scores[rows], positions[rows] = nearest(tf.constant(queries[rows]))
        return scores, positions

    def _numbers_of_a_query(self, k):
        """How many float32 numbers a search holds for each query."""
        # Similarities of a block of rows, and the rows that are scored again.
        return min(self.size, block_rows(self.dim)) + 2 * (2 * k + 64) * self.dim

    def _compiled(self, k):
        """A graph of the search for `k` neighbours; kept until the index changes."""
        book, key = self._book, self._key()
        if book.key != key:
            book.compiled, book.key = {}, key
        compiled = book.compiled
        if k not in compiled:
            spec = tf.TensorSpec((None, self.dim), tf.float32)
            function = tf.function(lambda queries: self.search_tensors(queries, k))
            token = SEARCHING_HERE.set(True)
            try:
                compiled[k] = function.get_concrete_function(spec)
            finally:
                SEARCHING_HERE.reset(token)
        return compiled[k]

    def _labelled(self, labels, k):
        """Positions of the items with one of `labels`, at least `k`."""
        wanted = np.asarray(labels).reshape(-1)
        positions = np.flatnonzero(np.isin(self.labels, wanted))
        if not positions.size:
            raise ValueError(
                "`labels` must be of the index, whose labels are such as "
                f"{self.labels[0].item()!r}. Received: {wanted.tolist()}."
            )
        if len(positions) < k:
            raise ValueError(
                f"`k` must be at most {len(positions)}, the number of embeddings with "
                f"the labels {wanted.tolist()}. Received: k={k}."
            )
        return positions

    def _facts(self):
        """What the manifest of every index says."""
        return {
            "class": type(self).__name__,
            "size": self.size,
            "dim": self.dim,
            "similarity": self.similarity,
            "embedder": self.fingerprint,
        }

    def _saved(self, written, target):
        self._book.origin = target.resolve()

    def _next_version(self, path, version):
        existing = files.versions(path)
        if version is not None:
            if isinstance(version, bool) or not isinstance(version, int) or version < 1:
                raise ValueError(
                    f"`version` must be a positive integer. Received: {version!r}."
                )
            return version
        if not existing:
            return 1
        following = existing[-1] + 1
        origin = self._book.origin
        if origin is None or origin.parent != path.resolve():
            raise FileExistsError(
                f"{str(path)!r} holds an index already, and nothing is overwritten. "
                f"Choose another path, or pass `version={following}` to add this one."
            )
        if origin.name != str(existing[-1]):
            raise FileExistsError(
                f"Another writer has saved version {existing[-1]} of {str(path)!r} "
                f"since version {origin.name}, which this index comes from. Load the "
                f"index anew and repeat the changes, or pass `version={following}` to "
                "do without those of the other."
            )
        return following

    def _check_k(self, k):
        try:
            # A bool is an integer to Python, and never meant as one here.
            count = 0 if isinstance(k, bool) else operator.index(k)
        except TypeError:
            count = 0
        if not 1 <= count <= self.size:
            raise ValueError(
                f"`k` must be an integer from 1 to {self.size}, the size of the index. "
                f"Received: k={k!r}."
            )
        return count

    def _check_dim(self, shape):
        if len(shape) != 2 or shape[1] != self.dim:
            raise ValueError(
                f"`queries` must have the shape (q, {self.dim}), the embedding size of "
                f"the index. Received: shape {tuple(shape)}."
            )


def newest(path, version):
    """The directory of a version, of the newest if `version` is None."""
    path = pathlib.Path(path)
    existing = files.versions(path)
    if version is not None and version not in existing:
        raise FileNotFoundError(
            f"There is no version {version} of an index at {str(path)!r}. "
            f"Versions: {', '.join(map(str, existing)) or 'none'}."
        )
    return path / str(version or existing[-1]) if existing else path


def _values(texts):
    values = np.empty(texts.shape, object)
    for place, text in np.ndenumerate(texts):
        values[place] = json.loads(text)
    return values


def _check_expected_dim(path, manifest, dim):
    if dim is not None and dim != manifest["dim"]:
        raise ValueError(
            f"The index at {str(path)!r} holds embeddings of size {manifest['dim']}. "
            f"Received: dim={dim}. Build the index with the embedder that queries it."
        )
