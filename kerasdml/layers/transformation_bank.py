"""Differences between embeddings of one class, remembered."""

import keras
from keras import ops

from kerasdml.layers.sparse_rows import read_rows, set_rows
from kerasdml.layers.stateful import StatefulLayer
from kerasdml.ops import class_order


@keras.saving.register_keras_serializable(package="kerasdml.layers")
class TransformationBank(StatefulLayer):
    """Remembers of each class the last differences between two of its embeddings.

    A step adds those of all ordered pairs of a class's examples in the batch, first by
    the first one's row, then by the other's; the oldest make room. Equal embeddings,
    those of one picture drawn twice, have none. Examples of no class are those of a
    class `num_classes`, to which nothing is added.

    Args:
        num_classes: Number of classes.
        size: Differences remembered of a class, at least 1.
        bank_dtype: In which they are kept: "float32", "float16" or "bfloat16".
        name: Name of the layer.
    """

    def __init__(
        self,
        *,
        num_classes,
        size,
        bank_dtype="float32",
        name="transformation_bank",
    ):
        super().__init__(name=name)
        self.num_classes = num_classes
        self.size = size
        self.bank_dtype = bank_dtype

    def build(self, dim):
        """Creates `bank (num_classes * size + 1, dim)` and how much was written to it.

        A class has `size` rows of the bank; the last row of all stays 0. `written
        (num_classes + 1,)` is right up to `size`, and beyond it modulo `size`.
        """
        options = {
            "initializer": "zeros",
            "trainable": False,
            "autocast": False,
            "aggregation": "only_first_replica",
        }
        shape = self.num_classes * self.size + 1, dim
        self.bank = self.add_weight(
            name="bank", shape=shape, dtype=self.bank_dtype, **options
        )
        self.written = self.add_weight(
            name="written", shape=(self.num_classes + 1,), dtype="int32", **options
        )
        self.built = True

    def add(self, classes, embeddings):
        """Adds the differences of `embeddings (q, d)` within `classes (q,)`.

        Where a row has more than `size` others of its class, the last of them count.
        """
        others, valid, before, total = self._others(classes, embeddings)
        differences = embeddings[:, None] - ops.take(embeddings, others, axis=0)
        place = before + ops.cumsum(ops.cast(valid, "int32"), axis=1) - 1
        written = ops.take(self.written, classes)
        last = ops.logical_and(valid, place >= (total - self.size)[:, None])
        slots = (written[:, None] + place) % self.size
        # What is not kept goes, as 0, to the row that stays 0.
        rows = classes[:, None] * self.size + slots
        rows = ops.where(last, rows, self.num_classes * self.size)
        values = ops.where(last[:, :, None], differences, 0.0)
        values = ops.reshape(values, (-1, embeddings.shape[1]))
        values = ops.cast(values, self.bank.dtype)
        set_rows(self.bank, ops.reshape(rows, (-1,)), values)
        written = written + total
        full = self.size + written % self.size
        written = ops.where(written > self.size, full, written)
        self.written.assign(ops.scatter_update(self.written, classes[:, None], written))

    def drawn(self, classes, shares):
        """Returns remembered differences of `classes (q,)`, `(…, q, d)`.

        Args:
            classes: `(q,)`.
            shares: `(…, q)` uniform in [0, 1), which say where in the bank.

        Returns:
            `(…, q, d)`; 0 where there are none.
        """
        filled = ops.minimum(ops.take(self.written, classes), self.size)
        slots = ops.floor(shares * ops.cast(filled, shares.dtype))
        slots = ops.cast(slots, classes.dtype)
        found = read_rows(self.bank, classes * self.size + slots)
        return ops.cast(found, shares.dtype)

    def _others(self, classes, embeddings):
        """Returns the others of each row's class, and where their differences belong.

        Returns:
            `others (q, size)` rows; `valid (q, size)`; `before (q, 1)` and
            `total (q,)`, how many differences the class has before the row's own, and
            in all.
        """
        order, first, rank, count = class_order(classes)
        nth = (count - 1 - self.size)[:, None] + ops.arange(self.size, dtype="int32")
        there = ops.logical_and(nth >= 0, (classes != self.num_classes)[:, None])
        nth = nth + ops.cast(nth >= rank[:, None], "int32")  # none is its own other
        others = ops.take(order, ops.where(there, first[:, None] + nth, 0))
        apart = embeddings[:, None] != ops.take(embeddings, others, axis=0)
        valid = ops.logical_and(there, ops.any(apart, axis=-1))
        own = ops.sum(ops.cast(valid, "int32"), axis=1)
        same = classes[:, None] == classes
        rows = ops.arange(ops.shape(classes)[0])
        earlier = ops.logical_and(same, rows[:, None] > rows)
        before = ops.sum(ops.where(earlier, own, 0), axis=1)
        return others, valid, before[:, None], ops.sum(ops.where(same, own, 0), axis=1)
