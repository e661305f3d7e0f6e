"""What every index shares: identifiers, checks, search in chunks, save and load."""

import abc
import operator
import os
from typing import Self

import numpy as np
import tensorflow as tf

from kerasdml.index import files

# What every index can search by, and every server.
_SIMILARITIES = ("cosine", "dot", "euclidean")

# Float32 numbers that one step of a search may hold: 256 MB.
_NUMBERS_AT_ONCE = 2**26


class Index(tf.Module, abc.ABC):
    """Finds the stored embeddings most similar to a query: the base of every index.

    Make one with `build`, or read one with `load`. A subclass keeps the embeddings in
    its own form, as tracked variables, and says in `_nearest` how they are searched.

    Args:
        arrays: What the index consists of, by name, as `save` writes it.
        ids: `(n,)` distinct identifiers, int64 or str.
        labels: `(n,)` labels, int64 or str, or None.
        similarity: "cosine", "dot" or "euclidean".

    Attributes:
        ids: `(n,)` identifiers.
        labels: `(n,)` labels, or None.
        similarity: How two embeddings are compared.
        size: How many embeddings are stored.
        dim: Their size.
    """

    #: Namespaces of operations that a server needs beyond TensorFlow's own.
    op_namespaces = ()

    def __init__(self, arrays, ids, labels, similarity):
        super().__init__()
        self.ids = ids
        self.labels = labels
        self.similarity = similarity
        self.size, self.dim = self._restore(arrays)

    @classmethod
    @abc.abstractmethod
    def build(cls, embeddings, ids=None, labels=None, similarity: str = "cosine"):
        """Makes an index of `embeddings (n, d)`."""

    @abc.abstractmethod
    def _restore(self, arrays):
        """Makes tracked variables of `arrays`; returns the table's `(size, dim)`."""

    @abc.abstractmethod
    def _arrays(self):
        """The arrays that `_restore` takes."""

    @abc.abstractmethod
    def _nearest(self, queries, k):
        """`(scores, positions)`, each `(q, k)`, of `queries` that are prepared."""

    def _options(self):
        """Further keyword arguments of the constructor, as JSON can hold them."""
        return {}

    def search(self, queries, k: int = 10, return_labels: bool = False):
        """Finds the `k` most similar embeddings of each query, closest first.

        Queries are searched in chunks, so memory stays bounded for any number.

        Args:
            queries: `(q, dim)` embeddings, finite. With "cosine", of any length.
            k: Neighbours per query, 1 … `size`.
            return_labels: Whether to return the neighbours' labels too.

        Returns:
            `(scores, ids)`, each `(q, k)`: similarities as float32, descending, and
            the identifiers of the neighbours. With `return_labels`, `(scores, ids,
            labels)`.

        Raises:
            ValueError: If `queries` has another embedding size or is not finite, if
                `k` is not in 1 … `size`, or if labels are asked for and there are none.

        Example:

        >>> scores, ids = index.search(embedder.predict(images), k=5)
        """
        if return_labels and self.labels is None:
            raise ValueError("This index was built without `labels`.")
        k = self._check_k(k)
        queries = _finite_rows(queries, "queries")
        self._check_dim(queries.shape)
        scores = np.empty((len(queries), k), "float32")
        positions = np.empty((len(queries), k), "int64")
        chunk = max(1, _NUMBERS_AT_ONCE // (self.size + k * self.dim))
        for start in range(0, len(queries), chunk):
            rows = slice(start, start + chunk)
            scores[rows], positions[rows] = self.search_tensors(queries[rows], k)
        found = (scores, self.ids[positions])
        return (*found, self.labels[positions]) if return_labels else found

    def search_tensors(self, queries, k: int):
        """Finds neighbours inside a TensorFlow graph, for instance one to be exported.

        All queries are searched at once: `(q, size)` similarities may be in memory.

        Args:
            queries: `(q, dim)` float32 tensor; q may be unknown, but not 0.
            k: Neighbours per query, a Python integer in 1 … `size`.

        Returns:
            `(scores, positions)`, each `(q, k)`: similarities as float32, descending,
            and int32 positions in `ids` and `labels`.

        Raises:
            ValueError: If `queries` has another embedding size, or `k` is not in 1 …
                `size`.
            tf.errors.InvalidArgumentError: If a query is not finite.
        """
        k = self._check_k(k)
        queries = tf.convert_to_tensor(queries, tf.float32)
        self._check_dim(queries.shape)
        queries = tf.debugging.check_numerics(queries, "Queries must be finite.")
        return self._nearest(_prepared(queries, self.similarity), k)

    def save(self, path: str | os.PathLike) -> None:
        """Writes the index as a new directory, which `load` reads.

        The directory holds `index.json` (class, size, similarity, SHA-256 of each
        file) and `.npy` files, none of them pickled. It appears whole or not at all.

        Args:
            path: The directory to make.

        Raises:
            FileExistsError: If something is at `path` already.
        """
        arrays = {"ids": self.ids, **self._arrays()}
        if self.labels is not None:
            arrays["labels"] = self.labels
        manifest = {
            "class": type(self).__name__,
            "size": self.size,
            "dim": self.dim,
            "similarity": self.similarity,
            "options": self._options(),
        }
        with files.new_directory(path) as directory:
            files.write(directory, manifest, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike, dim: int | None = None) -> Self:
        """Reads an index of this class that `save` wrote.

        Args:
            path: Its directory.
            dim: The embedding size it must have, such as your embedder's; None for
                any.

        Returns:
            The index.

        Raises:
            FileNotFoundError: If there is no index at `path`.
            ValueError: If it is of another class or embedding size, or if a file is
                missing or was changed.
        """
        manifest = files.read_manifest(path)
        if manifest["class"] != cls.__name__:
            raise ValueError(
                f"{str(path)!r} holds an index of class {manifest['class']!r}, not "
                f"{cls.__name__!r}. Read an index of any class with `index.load`."
            )
        _check_expected_dim(path, manifest, dim)
        arrays = files.read_arrays(path, manifest)
        ids, labels = arrays.pop("ids"), arrays.pop("labels", None)
        loaded = cls(arrays, ids, labels, manifest["similarity"], **manifest["options"])
        stated, held = (manifest["size"], manifest["dim"]), (loaded.size, loaded.dim)
        if stated != held:
            raise ValueError(
                f"The manifest of {str(path)!r} states (size, dim) = {stated}, but its "
                f"files hold {held}. Copy or build the index anew."
            )
        return loaded

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


def prepare(embeddings, ids, labels, similarity):
    """Checks the arguments of `build` and brings them into the form that is stored.

    Returns:
        `(embeddings, ids, labels)`: `(n, d)` float32, of unit length for "cosine",
        and `(n,)` arrays of int64 or str (`labels` may be None).

    Raises:
        ValueError: If any of them cannot be stored.
    """
    _check_similarity(similarity)
    embeddings = _finite_rows(embeddings, "embeddings")
    if 0 in embeddings.shape:
        raise ValueError(
            "`embeddings` must have at least one row and one column. "
            f"Received: shape {embeddings.shape}."
        )
    size = len(embeddings)
    ids = _names(np.arange(size) if ids is None else ids, "ids", size)
    _check_distinct(ids)
    labels = None if labels is None else _names(labels, "labels", size)
    return _prepared(embeddings, similarity).numpy(), ids, labels


def by_distance(table, queries, positions):
    """Orders found neighbours by their Euclidean distance, taken from differences.

    In the expanded square, |q|² + |r|² - 2 q·r, the digits of a small distance cancel,
    and a stored embedding would not be at distance 0 of itself.

    Args:
        table: `(n, d)` stored embeddings.
        queries: `(q, d)` embeddings.
        positions: `(q, k)` rows of `table`.

    Returns:
        `(scores, positions)`, each `(q, k)`: minus the distances, descending, and
        the rows that they belong to.
    """
    neighbours = tf.gather(table, positions)
    distances = tf.norm(queries[:, tf.newaxis] - neighbours, axis=-1)
    scores, order = tf.math.top_k(-distances, positions.shape[1])
    return scores, tf.gather(positions, order, batch_dims=1)


def _prepared(embeddings, similarity):
    """A float32 tensor, its rows of unit length for "cosine"; zeros stay zeros."""
    embeddings = tf.convert_to_tensor(embeddings, tf.float32)
    if similarity != "cosine":
        return embeddings
    lengths = tf.norm(embeddings, axis=1, keepdims=True)
    return tf.math.divide_no_nan(embeddings, lengths)


def _finite_rows(values, name):
    array = np.asarray(values)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise ValueError(
            f"`{name}` must be numbers of the shape (rows, embedding size). "
            f"Received: shape {array.shape}, dtype {array.dtype}."
        )
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, "float32")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if bad.size:
        raise ValueError(
            f"`{name}` must be finite float32 numbers. Received: NaN or infinity in "
            f"{bad.size} of {len(array)} rows, first in row {bad[0]}."
        )
    return array


def _names(values, name, size):
    """`values` as `(size,)` int64 or str."""
    array = np.asarray(values)
    if array.dtype == object and all(isinstance(value, str) for value in array.flat):
        array = array.astype(str)
    if array.shape != (size,):
        raise ValueError(
            f"`{name}` must have one entry for each of the {size} embeddings. "
            f"Received: shape {array.shape}."
        )
    if array.dtype.kind in "iu" and np.can_cast(array.dtype, "int64"):
        return array.astype("int64")
    if array.dtype.kind == "U":
        return array
    raise ValueError(
        f"`{name}` must be integers (at most 64 bits, signed) or strings. "
        f"Received: dtype {array.dtype}."
    )


def _check_similarity(similarity):
    if similarity not in _SIMILARITIES:
        raise ValueError(
            "An index compares by 'cosine', 'dot' or 'euclidean'. "
            f"Received: similarity={similarity!r}. ('squared_euclidean' ranks as "
            "'euclidean' does.)"
        )


def _check_distinct(ids):
    values, counts = np.unique(ids, return_counts=True)
    repeated = values[counts > 1]
    if repeated.size:
        raise ValueError(
            "`ids` must be distinct, so that a neighbour can be told by its id. "
            f"Received: {repeated.size} of them more than once, such as "
            f"{repeated[0].item()!r}. Pass what several items share as `labels`."
        )


def _check_expected_dim(path, manifest, dim):
    if dim is not None and dim != manifest["dim"]:
        raise ValueError(
            f"The index at {str(path)!r} holds embeddings of size {manifest['dim']}. "
            f"Received: dim={dim}. Build the index with the embedder that queries it."
        )
