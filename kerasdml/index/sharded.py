"""One index of several, each of which may live on a machine of its own."""

import numpy as np

from kerasdml.index import files
from kerasdml.index.base import Index
from kerasdml.index.exact import Exact
from kerasdml.index.items import Names
from kerasdml.index.scann import Scann
from kerasdml.index.scanning import merge

_CLASSES = {"Exact": Exact, "Scann": Scann}


class Sharded(Index):
    """Searches several indexes as one: the best of the best of each.

    Of `Exact` parts it finds exactly what one `Exact` index of all finds, in the same
    order and with the same scores, bit by bit. Each part is an index that can be saved
    and exported alone: `export.saved_model(embedder, path, index=sharded.parts[0])`.

    Args:
        parts: Indexes of the same embedding size and similarity, with ids of one type
            that no two share; labels and metadata in all of them or in none.

    Attributes:
        parts: The indexes, in order.

    Raises:
        ValueError: If the parts do not fit together.

    Example:

    >>> halves = [Exact.build(e, ids) for e, ids in ((e0, ids0), (e1, ids1))]
    >>> scores, ids = kerasdml.index.Sharded(halves).search(queries, k=5)
    """

    def __init__(self, parts):
        parts = list(parts)
        _check_parts(parts)
        known = {part.fingerprint for part in parts} - {None}
        super().__init__(parts[0].similarity, known.pop() if known else None)
        self.parts = parts
        self._book.names_key = None

    @property
    def ids(self):
        return self._names().ids

    @property
    def labels(self):
        return self._names().labels

    @property
    def metadata(self):
        return self._names().metadata

    @property
    def size(self):
        return sum(part.size for part in self.parts)

    @property
    def dim(self):
        return self.parts[0].dim

    @property
    def op_namespaces(self):
        return tuple({name for part in self.parts for name in part.op_namespaces})

    def add(self, embeddings, ids, labels=None, metadata=None) -> None:
        """Stores more embeddings, in the smallest part; as `Exact.add`."""
        stored = np.intersect1d(np.asarray(ids), self.ids)
        if stored.size:
            raise ValueError(
                f"`ids` must be new. Received: {stored.size} that are stored already, "
                f"such as {stored[0].item()!r}. Replace those with `update`."
            )
        smallest = min(self.parts, key=lambda part: part.size)
        smallest.add(embeddings, ids, labels, metadata)

    def update(self, embeddings, ids, labels=None, metadata=None) -> None:
        """Replaces stored embeddings, each in its part; as `Exact.update`."""
        # All or nothing: a part must not find fault after another has changed.
        self.parts[0]._checked(embeddings, ids, labels, metadata)
        embeddings, ids = np.asarray(embeddings), np.asarray(ids)
        labels = None if labels is None else np.asarray(labels)
        for part, rows in self._by_part(ids):
            part.update(
                embeddings[rows],
                ids[rows],
                None if labels is None else labels[rows],
                None if metadata is None else [metadata[i] for i in rows],
            )

    def remove(self, ids) -> None:
        """Removes embeddings; each part must keep one; as `Exact.remove`."""
        ids = np.asarray(ids).reshape(-1)
        divided = self._by_part(ids)
        for part, rows in divided:
            if len(rows) >= part.size:
                raise ValueError(
                    "Each part must keep one embedding at least. Received: all "
                    f"{part.size} ids of part {self.parts.index(part)}."
                )
        for part, rows in divided:
            part.remove(ids[rows])

    def compact(self) -> None:
        """Folds changes in, part by part."""
        for part in self.parts:
            part.compact()

    def _by_part(self, ids):
        """`(part, positions in ids)` for parts that hold any; all must be held."""
        holders = [np.flatnonzero(np.isin(ids, part.ids)) for part in self.parts]
        missing = np.setdiff1d(np.arange(len(ids)), np.concatenate(holders))
        if missing.size:
            raise ValueError(
                f"`ids` must be stored in the index. Received: {missing.size} that are "
                f"not, such as {ids[missing[0]].item()!r}."
            )
        return [
            (part, rows)
            for part, rows in zip(self.parts, holders, strict=True)
            if rows.size
        ]

    def _names(self):
        key = tuple(id(names) for names in (part._live_names() for part in self.parts))
        if self._book.names_key != key:
            parts = [part._live_names() for part in self.parts]
            names = parts[0]
            for more in parts[1:]:
                names = names.joined(more)
            # The parts' own are kept, so that no other can have their identity.
            self._book.names_key, self._book.names = key, (names, parts)
        return self._book.names[0]

    def _key(self):
        return tuple((part._key(), part.size) for part in self.parts)

    def _offsets(self):
        return np.cumsum([0, *(part.size for part in self.parts[:-1])]).tolist()

    def _numbers_of_a_query(self, k):
        return max(part._numbers_of_a_query(k) for part in self.parts)

    def _nearest(self, queries, k):
        columns = []
        for part, offset in zip(self.parts, self._offsets(), strict=True):
            scores, positions = part._nearest(queries, min(k, part.size))
            columns.append((scores, positions + offset))
        return merge(columns, k)

    def _nearest_among(self, queries, k, positions):
        columns = []
        for part, offset in zip(self.parts, self._offsets(), strict=True):
            inside = (positions >= offset) & (positions < offset + part.size)
            own = positions[inside] - offset
            if own.size:
                depth = min(k, len(own))
                scores, found = part._nearest_among(queries, depth, own)
                columns.append((scores, found + offset))
        return merge(columns, k)

    def _write(self, directory):
        hashes, written = {}, []
        for number, part in enumerate(self.parts):
            folder = directory / f"part_{number}"
            folder.mkdir()
            written.append(part._write(folder))
            hashes[folder.name] = files.sha256(folder / files.MANIFEST)
        files.write_manifest(directory, {**self._facts(), "parts": hashes})
        return written

    def _saved(self, written, target):
        super()._saved(written, target)
        for number, (part, own) in enumerate(zip(self.parts, written, strict=True)):
            part._saved(own, target / f"part_{number}")

    @classmethod
    def _read(cls, directory, manifest, mmap):
        parts = []
        for number, hashed in enumerate(manifest["parts"].values()):
            folder = directory / f"part_{number}"
            files.check(folder / files.MANIFEST, hashed)
            part = files.read_manifest(folder)
            parts.append(_CLASSES[part["class"]]._read(folder, part, mmap))
        return cls(parts)


def _check_parts(parts):
    if not parts or not all(isinstance(part, Exact | Scann) for part in parts):
        raise ValueError(
            "`parts` must be `Exact` or `Scann` indexes, one at least. "
            f"Received: {[type(part).__name__ for part in parts]}."
        )

    def kinds(part):
        names = Names(part.ids, part.labels, part.metadata)
        return [None if x is None else x.dtype.kind for x in names]

    for what, of in {
        "embedding size": lambda part: part.dim,
        "similarity": lambda part: part.similarity,
        "types of ids, labels and metadata": kinds,
        "embedder": lambda part: part.fingerprint or parts[0].fingerprint,
    }.items():
        values = [of(part) for part in parts]
        if any(value != values[0] for value in values):
            raise ValueError(
                f"`parts` must agree in their {what}. Received: "
                f"{', '.join(map(str, values))}."
            )
    ids = np.concatenate([part.ids for part in parts])
    if len(np.unique(ids)) != len(ids):
        values, counts = np.unique(ids, return_counts=True)
        raise ValueError(
            "No two `parts` may share an id. Received: "
            f"{values[counts > 1][0].item()!r} more than once."
        )
