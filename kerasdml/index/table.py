"""An index of one table: rows in the engine's form, and a few beside that changed."""

import abc

import numpy as np
import tensorflow as tf

from kerasdml.index import files
from kerasdml.index.base import Index
from kerasdml.index.delta import Delta
from kerasdml.index.items import Names, checked
from kerasdml.index.scanning import exact_scores, merge, nearest_of, take


class TableIndex(Index):
    """The base of `Exact` and `Scann`.

    A subclass keeps the rows in its own form, as tracked variables, and says in
    `_candidates` which of them may be near a query. Their scores are then computed
    here, exactly. What is added lies in a `Delta` beside; what is removed is marked.

    Args:
        arrays: What the engine consists of, by name, as `save` writes it.
        ids: `(n,)` distinct identifiers, int64 or str.
        labels: `(n,)` labels, int64 or str, or None.
        similarity: "cosine", "dot" or "euclidean".
        metadata: `(n,)` JSON texts, or None.
        embedder: Fingerprint of the embedder, or None.
    """

    def __init__(
        self, arrays, ids, labels, similarity, *, metadata=None, embedder=None
    ):
        super().__init__(similarity, embedder)
        self._book.names = Names(ids, labels, metadata)
        self._book.files = {}
        self._start(arrays)

    @abc.abstractmethod
    def _restore(self, arrays):
        """Makes tracked variables of `arrays`; returns the table's `(size, dim)`."""

    @abc.abstractmethod
    def _arrays(self):
        """The arrays that `_restore` takes."""

    @abc.abstractmethod
    def _built_anew(self, embeddings):
        """The arrays of an engine of `embeddings`, as this one was built."""

    @abc.abstractmethod
    def _candidates(self, queries, k):
        """`(q, c)` rows, c at least k, among which the nearest are.

        `k` is at most the number of rows. Rows that are marked in `_removed` must
        leave room for `k` others, as far as there are that many.
        """

    @abc.abstractmethod
    def _vectors(self, rows):
        """The embeddings in `rows`, of any shape, as float32."""

    def _options(self):
        """Further keyword arguments of the constructor, as JSON can hold them."""
        return {}

    @property
    def ids(self):
        return self._live_names().ids

    @property
    def labels(self):
        return self._live_names().labels

    @property
    def metadata(self):
        return self._live_names().metadata

    @property
    def size(self):
        return self._rows - self._removals + self._delta.live

    def add(self, embeddings, ids, labels=None, metadata=None) -> None:
        """Stores more embeddings, which searches find from then on, exactly.

        They are compared one by one until `compact` folds them in, so searches slow
        down as their number grows: compact when there are more than some thousands.

        Args:
            embeddings: `(n, dim)` finite numbers. With "cosine", of a length ≥ 1e-19.
            ids: `(n,)` distinct integers or strings, as those of the index, and new.
            labels: `(n,)` labels, if the index has any.
            metadata: `n` values that JSON can hold, if the index has any.

        Raises:
            ValueError: If ids are stored already, or lengths or types do not fit.
        """
        embeddings, names = self._checked(embeddings, ids, labels, metadata)
        stored = [i for i in names.ids.tolist() if i in self._places()]
        if stored:
            raise ValueError(
                f"`ids` must be new. Received: {len(stored)} that are stored already, "
                f"such as {stored[0]!r}. Replace those with `update`."
            )
        self._append(embeddings, names)

    def update(self, embeddings, ids, labels=None, metadata=None) -> None:
        """Replaces stored embeddings, with their labels and metadata.

        They move to the end of the order of storage. As for `add`, see `compact`.

        Args:
            embeddings: `(n, dim)` finite numbers. With "cosine", of a length ≥ 1e-19.
            ids: `(n,)` distinct integers or strings that are stored.
            labels: `(n,)` labels, if the index has any.
            metadata: `n` values that JSON can hold, if the index has any.

        Raises:
            ValueError: If an id is not stored, or lengths or types do not fit.
        """
        embeddings, names = self._checked(embeddings, ids, labels, metadata)
        rows = self._rows_of(names.ids)
        self._append(embeddings, names)
        self._mark_removed(rows)

    def remove(self, ids) -> None:
        """Removes embeddings, which no search finds from then on.

        Args:
            ids: `(n,)` distinct identifiers that are stored; not all of them.

        Raises:
            ValueError: If an id is not stored, or if nothing would be left.
        """
        rows = self._rows_of(np.asarray(ids).reshape(-1))
        if len(set(rows)) != len(rows):
            raise ValueError("`ids` must be distinct.")
        if len(rows) >= self.size:
            raise ValueError(
                f"An index must keep one embedding at least. Received: {len(rows)} ids "
                f"of {self.size}."
            )
        self._mark_removed(rows)

    def compact(self) -> None:
        """Folds what was added, updated and removed into the engine's own rows.

        Takes as long as `build`, and nothing if there are no changes. Until it is
        done the index is as it was, so an interruption loses nothing.
        """
        if not self._changed():
            return
        names = self._live_names()
        rows = self._book.live
        main, added = rows[rows < self._rows], rows[rows >= self._rows]
        arrays = self._built_anew(
            np.concatenate(
                [self._vectors(main).numpy(), self._delta.table()[added - self._rows]]
            )
        )
        self._book.names, self._book.files = names, {}
        self._start(arrays)

    def _start(self, arrays):
        """An engine of `arrays` with no changes."""
        self._rows, self.dim = self._restore(arrays)
        self._delta = Delta(self.dim)
        self._removed = None
        self._positions = None
        self._removals = 0
        self._book.places = None
        self._book.changes = getattr(self._book, "changes", 0) + 1
        self._book.live = np.arange(self._rows)
        self._book.live_names = self._book.names

    def _changed(self):
        return bool(self._removals or self._delta.count)

    def _live_names(self):
        book = self._book
        if book.live_names is None:
            names = book.names
            if self._delta.count:
                names = names.joined(self._delta.names)
            book.live_names = names.at(book.live)
        return book.live_names

    def _key(self):
        # One more candidate for each that was removed, in steps, so that not every
        # removal needs another graph.
        return (self._book.changes, self._delta.capacity, self._widening())

    def _widening(self):
        """By how much to widen a search, so that removed rows leave enough others."""
        return 1 << (self._removals - 1).bit_length() if self._removals else 0

    def _checked(self, embeddings, ids, labels, metadata):
        embeddings, names = checked(embeddings, ids, labels, metadata, self.similarity)
        if embeddings.shape[1] != self.dim:
            raise ValueError(
                f"`embeddings` must have the shape (n, {self.dim}). "
                f"Received: shape {embeddings.shape}."
            )
        for field, mine, theirs in zip(
            names._fields, self._book.names, names, strict=True
        ):
            kinds = [None if x is None else x.dtype.kind for x in (mine, theirs)]
            if kinds[0] != kinds[1]:
                said = {None: "none", "i": "integers", "U": "strings", "O": "values"}
                raise ValueError(
                    f"`{field}` must be {said[kinds[0]]}, as those of the index. "
                    f"Received: {said[kinds[1]]}."
                )
        return embeddings, names

    def _places(self):
        """`{id: row}` of all that is stored; only indexes that change need it."""
        if self._book.places is None:
            rows = self._book.live.tolist()
            ids = self._live_names().ids.tolist()
            self._book.places = dict(zip(ids, rows, strict=True))
        return self._book.places

    def _rows_of(self, ids):
        places = self._places()
        missing = [i for i in ids.tolist() if i not in places]
        if missing:
            raise ValueError(
                f"`ids` must be stored in the index. Received: {len(missing)} that are "
                f"not, such as {missing[0]!r}."
            )
        return [places[i] for i in ids.tolist()]

    def _append(self, embeddings, names):
        first = self._rows + self._delta.count
        places = self._places()
        self._delta.append(embeddings, names)
        rows = range(first, first + len(embeddings))
        places.update(zip(names.ids.tolist(), rows, strict=True))
        self._renumber(np.concatenate([self._book.live, rows]))

    def _mark_removed(self, rows):
        gone = np.asarray(rows, "int64")
        main, added = gone[gone < self._rows], gone[gone >= self._rows]
        names = self._book.names
        if self._delta.count:
            names = names.joined(self._delta.names)
        for identifier, row in zip(names.ids[gone].tolist(), rows, strict=True):
            # An updated one is at another row by now.
            if self._places()[identifier] == row:
                del self._places()[identifier]
        if main.size:
            if self._removed is None:
                self._removed = tf.Variable(np.zeros(self._rows, bool), trainable=False)
            marks = np.array(self._removed.numpy())
            marks[main] = True
            self._removed.assign(marks)
            self._removals += main.size
        self._delta.drop(added - self._rows)
        lives = np.ones(self._rows + self._delta.capacity, bool)
        lives[gone] = False
        live = self._book.live
        self._renumber(live[lives[live]])

    def _renumber(self, live):
        """Notes which rows are live: their order is that of `ids`."""
        self._book.live, self._book.live_names = live, None
        positions = np.zeros(self._rows + self._delta.capacity, "int32")
        positions[live] = np.arange(len(live))
        if self._positions is None or self._positions.shape != positions.shape:
            self._positions = tf.Variable(positions, trainable=False)
        else:
            self._positions.assign(positions)

    def _nearest(self, queries, k):
        scores, rows = self._nearest_rows(queries, min(k, self._rows))
        if self._delta.count:
            others, slots = self._delta.nearest(queries, k, self.similarity)
            columns = [(scores, rows), (others, slots + self._rows)]
            scores, rows = merge(columns, k)
        if self._positions is None:
            return scores, rows
        return scores, take(self._positions, rows)

    def _nearest_rows(self, queries, k):
        """The nearest of the engine's own rows, with exact scores."""
        # In the order of storage, which then decides between equal scores.
        rows = tf.sort(self._candidates(queries, k), axis=1)
        scores = exact_scores(queries, self._vectors(rows), self.similarity)
        if self._removed is not None:
            scores = tf.where(take(self._removed, rows), -np.inf, scores)
        return merge([(scores, rows)], k)

    def _nearest_among(self, queries, k, positions):
        rows = self._book.live[positions]
        main, added = rows[rows < self._rows], rows[rows >= self._rows]
        places = tf.constant(main, tf.int32)
        beside = tf.constant(self._delta.table()[added - self._rows])
        columns = []
        for among, vectors in (
            (positions[: len(main)], lambda at: self._vectors(tf.gather(places, at))),
            (positions[len(main) :], lambda at: tf.gather(beside, at)),
        ):
            if len(among):
                scores, at = nearest_of(
                    queries, vectors, len(among), k, self.similarity
                )
                columns.append((scores, tf.gather(among, at)))
        return merge(columns, k)

    def _write(self, directory):
        book = self._book
        arrays = {**self._arrays(), **_named(book.names)}
        if self._changed():
            changes = {"live": book.live[book.live < self._rows]}
            if self._delta.live:
                rows, names = self._delta.kept()
                changes |= {"embeddings": rows, **_named(names)}
            arrays |= {f"changed_{name}": array for name, array in changes.items()}
        manifest = {
            **self._facts(),
            "rows": self._rows,
            "removed": int(self._removals),
            "added": self._delta.live,
            "options": self._options(),
        }
        return files.write(directory, manifest, arrays, book.files)

    def _saved(self, written, target):
        super()._saved(written, target)
        self._book.files = {
            name: (target / path.name, hashed)
            for name, (path, hashed) in written.items()
            if not name.startswith("changed_")
        }

    @classmethod
    def _read(cls, directory, manifest, mmap):
        arrays, found = files.read_arrays(directory, manifest, mmap)
        changes = {
            name.removeprefix("changed_"): arrays.pop(name)
            for name in list(arrays)
            if name.startswith("changed_")
        }
        names = _names(arrays)
        loaded = cls(
            arrays,
            names.ids,
            names.labels,
            manifest["similarity"],
            metadata=names.metadata,
            embedder=manifest["embedder"],
            **manifest["options"],
        )
        if changes:
            gone = np.setdiff1d(np.arange(loaded._rows), changes["live"])
            if "embeddings" in changes:
                loaded._append(changes.pop("embeddings"), _names(changes))
            loaded._mark_removed(gone.tolist())
        loaded._book.files = {
            name: file for name, file in found.items() if name[:8] != "changed_"
        }
        return loaded


def _named(names):
    """Names as arrays of files; of texts one array of UTF-8, a line each."""
    arrays = {"ids": names.ids}
    if names.labels is not None:
        arrays["labels"] = names.labels
    if names.metadata is not None:
        # JSON has no line break within a text.
        text = "\n".join(names.metadata)
        arrays["metadata"] = np.frombuffer(text.encode(), "uint8")
    return arrays


def _names(arrays):
    """Takes the arrays of `_named` out of a dict."""
    metadata = arrays.pop("metadata", None)
    if metadata is not None:
        metadata = np.array(bytes(metadata).decode().split("\n"), object)
    labels = arrays.pop("labels", None)
    labels = None if labels is None else np.asarray(labels)
    return Names(np.asarray(arrays.pop("ids")), labels, metadata)
