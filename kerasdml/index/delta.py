"""Embeddings added since an index was built: few, so each is compared."""

import types

import numpy as np
import tensorflow as tf

from kerasdml.index.scanning import (
    SPARE,
    block_rows,
    comparable,
    exact_scores,
    merge,
    scan,
    take,
)

_SMALLEST = 16


class Delta(tf.Module):
    """A growing table of embeddings.

    Its variables have room for more rows than there are, twice as many whenever they
    are full, so that most additions change values alone: graphs stay valid, and XLA,
    which needs fixed shapes, can compile them.

    Args:
        dim: Size of the embeddings.

    Attributes:
        count: Slots that were ever used.
        live: Embeddings in them that are not dropped.
        capacity: Slots that there are.
        names: `Names` of the used slots; None at first.
    """

    def __init__(self, dim):
        super().__init__()
        # NumPy's copy is in a plain object, which no SavedModel looks into.
        self._own = types.SimpleNamespace(
            rows=np.zeros((0, dim), "float32"), free=np.ones(0, bool), names=None
        )
        self.count = 0
        self._embeddings = self._free = None

    @property
    def capacity(self):
        return len(self._own.rows)

    @property
    def live(self):
        return int(np.sum(~self._own.free))

    @property
    def names(self):
        return self._own.names

    def append(self, embeddings, names):
        """Fills the next slots."""
        own, first = self._own, self.count
        self.count += len(embeddings)
        if self.count > self.capacity:
            room = max(_SMALLEST, 1 << (self.count - 1).bit_length()) - self.capacity
            own.rows = np.pad(own.rows, ((0, room), (0, 0)))
            own.free = np.pad(own.free, (0, room), constant_values=True)
        own.rows[first : self.count] = embeddings
        own.free[first : self.count] = False
        own.names = names if own.names is None else own.names.joined(names)
        self._assign()

    def drop(self, slots):
        """Forgets what is in some slots."""
        if len(slots):
            self._own.free[slots] = True
            self._assign()

    def kept(self):
        """`(embeddings, names)` of all that is not dropped."""
        slots = np.flatnonzero(~self._own.free)
        return self._own.rows[slots], self._own.names.at(slots)

    def table(self):
        """`(capacity, d)` embeddings of all slots."""
        return self._own.rows

    def nearest(self, queries, k, similarity):
        """`(scores, slots)` of the nearest, each `(q, min(k, capacity))`."""
        dim = queries.shape[1]
        table = tf.convert_to_tensor(self._embeddings)
        free = tf.convert_to_tensor(self._free)

        def score(start, count):
            rows = tf.slice(table, [start, 0], [count, dim])
            near = comparable(queries, rows, similarity)
            return tf.where(tf.slice(free, [start], [count]), -np.inf, near)

        slots = scan(
            score, self.capacity, min(k + SPARE, self.capacity), block_rows(dim)
        )
        slots = tf.sort(slots, axis=1)
        scores = exact_scores(queries, take(self._embeddings, slots), similarity)
        scores = tf.where(take(self._free, slots), -np.inf, scores)
        return merge([(scores, slots)], min(k, self.capacity))

    def _assign(self):
        own = self._own
        if self._embeddings is None or self._embeddings.shape[0] != self.capacity:
            self._embeddings = tf.Variable(own.rows, trainable=False)
            self._free = tf.Variable(own.free, trainable=False)
        else:
            self._embeddings.assign(own.rows)
            self._free.assign(own.free)
