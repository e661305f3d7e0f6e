"""Exact search: a matrix product and a top-k."""

from typing import Any

import numpy as np
import tensorflow as tf

from kerasdml.index.items import checked
from kerasdml.index.scanning import SPARE, block_rows, scan, take
from kerasdml.index.table import TableIndex

_STORAGES = {"float32": "embeddings", "float16": "float16", "int8": "int8"}


class Exact(TableIndex):
    """Compares each query with every stored embedding.

    It uses TensorFlow's own operations only, so an exported model runs on any
    TensorFlow Serving, and XLA can compile a search (`tf.function(jit_compile=True)`).
    Time and memory grow with the number of embeddings. Of equal similarities, the one
    stored first comes first.

    With storage "int8" or "float16" the search compares codes, each embedding divided
    by its largest number and rounded, and scores the best 2 k + 64 (k + 32) again by
    the float32 embeddings: scores are exact, and a neighbour is missed only if so many
    others come between by rounding. Without `rerank` the float32 embeddings are not
    kept: a quarter (half) of the memory, and scores of rounded embeddings. With it, and
    `load(path, mmap=True)`, they stay on disk but for the few that are scored.
    A CPU multiplies float32 numbers in any case, so codes save memory there, not time.

    A GPU may multiply with TF32, which keeps about three digits, so that near ties may
    be missed; for all of float32 call
    `tf.config.experimental.enable_tensor_float_32_execution(False)`. Scores are
    float32 in any case.

    Args:
        arrays: `{"embeddings": (n, d)}` float32, of unit length for "cosine"; or also
            or only `int8` or `float16`, their codes, and `scales (n,)`.
        ids: `(n,)` distinct identifiers, int64 or str.
        labels: `(n,)` labels, int64 or str, or None.
        similarity: "cosine", "dot" or "euclidean" (minus the Euclidean distance).
        **kwargs: `metadata`, JSON texts, and the `embedder`'s fingerprint.

    Example:

    >>> index = kerasdml.index.Exact.build(embedder.predict(gallery), ids)
    >>> scores, ids = index.search(embedder.predict(queries), k=5)
    """

    @classmethod
    def build(
        cls,
        embeddings,
        ids=None,
        labels=None,
        similarity: str = "cosine",
        *,
        metadata=None,
        embedder: Any = None,
        storage: str = "float32",
        rerank: bool = True,
    ) -> "Exact":
        """Stores embeddings for exact search.

        Args:
            embeddings: `(n, d)` finite numbers. With "cosine", of a length ≥ 1e-19.
            ids: `(n,)` distinct integers or strings; 0 … n-1 by default.
            labels: `(n,)` integers or strings, such as class names; may repeat.
            similarity: "cosine", "dot" or "euclidean" (minus the Euclidean distance).
            metadata: `n` values that JSON can hold, such as dicts.
            embedder: The Keras model that made the embeddings, or its fingerprint,
                which is kept, so that `load` can tell it from others.
            storage: "float32", "float16" or "int8": what a search reads.
            rerank: Whether float32 embeddings are kept beside "float16" and "int8".

        Returns:
            The index.

        Raises:
            ValueError: If `embeddings` is not finite or not of rank 2, if `ids`
                repeat, if lengths or types do not fit, or if `storage` is unknown.
        """
        if storage not in _STORAGES:
            raise ValueError(
                "`storage` must be 'float32', 'float16' or 'int8'. "
                f"Received: {storage!r}."
            )
        embeddings, names = checked(embeddings, ids, labels, metadata, similarity)
        return cls(
            _arrays_of(embeddings, storage, rerank),
            names.ids,
            names.labels,
            similarity,
            metadata=names.metadata,
            embedder=embedder,
        )

    @property
    def storage(self) -> str:
        """What a search reads: "float32", "float16" or "int8"."""
        return self._codes.dtype.name

    def _restore(self, arrays):
        self._embeddings = self._scales = self._half_squares = None
        if "embeddings" in arrays:
            self._embeddings = self._codes = _variable(arrays["embeddings"])
        for storage in ("float16", "int8"):
            if storage in arrays:
                self._codes = _variable(arrays[storage])
                self._scales = _variable(arrays["scales"])
        if self.similarity == "euclidean":
            squares = _squares(arrays, self.storage)
            self._half_squares = tf.Variable(squares / 2, trainable=False)
        return tuple(self._codes.shape)

    def _arrays(self):
        arrays = {_STORAGES[self.storage]: self._codes.numpy()}
        if self._scales is not None:
            arrays["scales"] = self._scales.numpy()
        if self._embeddings is not None:
            arrays["embeddings"] = self._embeddings.numpy()
        return arrays

    def _built_anew(self, embeddings):
        return _arrays_of(embeddings, self.storage, self._embeddings is not None)

    def _candidates(self, queries, k):
        spare = {"float32": SPARE, "float16": 32, "int8": k + 64}[self.storage]

        def score(start, count):
            return self._scores(queries, start, count)

        count = min(self._rows, k + spare)
        return scan(score, self._rows, count, block_rows(self.dim))

    def _scores(self, queries, start, count):
        """What ranks `count` rows from `start` on, `(q, count)`."""
        codes = tf.slice(self._codes, [start, 0], [count, self.dim])
        scores = tf.matmul(queries, tf.cast(codes, tf.float32), transpose_b=True)
        if self._scales is not None:
            scores *= tf.slice(self._scales, [start], [count])
        if self._half_squares is not None:
            # (|q|² + |r|²) / 2 - q·r ranks by distance; |q|² is the same for all.
            scores -= tf.slice(self._half_squares, [start], [count])
        if self._removed is not None:
            removed = tf.slice(self._removed, [start], [count])
            scores = tf.where(removed, -np.inf, scores)
        return scores

    def _vectors(self, rows):
        if self._embeddings is not None:
            return take(self._embeddings, rows)
        codes = tf.cast(take(self._codes, rows), tf.float32)
        return codes * take(self._scales, rows)[..., tf.newaxis]


def _arrays_of(embeddings, storage, rerank):
    """The arrays of an `Exact` index; codes are at most 1, or 127, in size."""
    if storage == "float32":
        return {"embeddings": embeddings}
    largest = np.abs(embeddings).max(axis=1)
    steps = 127 if storage == "int8" else 1
    scales = np.where(largest > 0, largest / steps, 1).astype("float32")
    codes = embeddings / scales[:, np.newaxis]
    if storage == "int8":
        # A subnormal number divided by a rounded scale may be more.
        codes = np.clip(np.rint(codes), -127, 127)
    arrays = {storage: codes.astype(storage), "scales": scales}
    return {**arrays, "embeddings": embeddings} if rerank else arrays


def _squares(arrays, storage):
    """`(n,)` squared lengths of the rows as a search reads them."""
    if storage == "float32":
        rows = arrays["embeddings"]
        return np.einsum("nd,nd->n", rows, rows)
    rows = arrays[storage]
    squares = np.einsum("nd,nd->n", rows, rows, dtype="float32", casting="same_kind")
    return squares * np.square(arrays["scales"])


def _variable(array):
    """A variable; of an array on disk one that leaves it there."""
    if isinstance(array, np.memmap):
        array = tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    return tf.Variable(array, trainable=False)
