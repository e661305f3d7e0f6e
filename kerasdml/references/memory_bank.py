"""Cross-batch memory."""

import keras
from keras import ops

from kerasdml.references.base import References, Source
from kerasdml.references.counts import check_count


@keras.saving.register_keras_serializable(package="kerasdml.references")
class MemoryBank(Source):
    """Remembers embeddings of past batches: many more pairs for the same batch.

    A queue of the last `size` embeddings and their labels, kept as they were when the
    embedder made them. Every step of training compares the batch with what is in it,
    then puts the batch into it in place of the oldest. Nothing is trained through the
    remembered ones. They are columns, never anchors, so that any pair loss can have
    them that does not compare its references with one another.

    Evaluation neither reads nor writes it, nor does any call outside training. It is
    saved with the model. A bank shared by several losses of a `losses.Sum` is written
    once a step. On several replicas list `references.AllReplicas()` before it, or it
    remembers the batches of the first replica alone.

    Of an example seen before, the old embedding is a positive of the new one. Where
    the bank holds less than an epoch there are none.

    Args:
        size: Number of embeddings, at least that of a batch. Paper: up to all of the
            training set; the authors' code: about half of it to all of it.
        warm_up: Steps of training at the beginning during which nothing is remembered,
            so that embeddings change slowly by the time they are kept, at least 0. The
            authors' code: 1,000; default: 0.
        num_tags: Number of tags where labels are tags, `(q, l)`, at least 2; `None`
            where they are class ids.
        name: Name of the layer.

    Raises:
        ValueError: If an argument is out of range; when called with a batch larger than
            the bank, or with labels of another kind. Of a larger batch whose size a
            data set does not tell beforehand the last `size` examples are remembered.

    Example:

    >>> bank = kerasdml.references.MemoryBank(4096, warm_up=1000)
    >>> loss = kerasdml.losses.Contrastive(references=[bank], average="pairs")

    Source: Wang et al., "Cross-Batch Memory for Embedding Learning", CVPR 2020,
    https://arxiv.org/abs/1912.06798. There a batch is put into the memory first and
    compared with it next, and the loss is that of the batch plus that of the memory.
    Here the batch and the memory are one set of columns, so that no embedding meets
    itself; `losses.Contrastive() + losses.Contrastive(references=[bank])` counts the
    pairs of the batch once more, as there.
    """

    def __init__(self, size, *, warm_up=0, num_tags=None, name="memory_bank"):
        super().__init__(name=name)
        if num_tags is not None:
            num_tags = check_count("num_tags", num_tags, 2)
        self.size = check_count("size", size, 1)
        self.warm_up = check_count("warm_up", warm_up, 0)
        self.num_tags = num_tags

    def get_config(self):
        return {"size": self.size, **super().get_config()}

    def build(self, dim):
        """Creates `embeddings (size, d)`, `labels (size,)` and counters."""
        # JAX has no 64-bit integers; on TensorFlow class ids may need them.
        ids = "int32" if keras.backend.backend() == "jax" else "int64"
        tags = () if self.num_tags is None else (self.num_tags,)
        self.embeddings = self._add("embeddings", (self.size, dim), "float32", 0)
        self.labels = self._add(
            "labels", (self.size, *tags), "float32" if tags else ids, -1
        )
        self.position = self._add("position", (), "int32", 0)
        self.steps = self._add("steps", (), "int32", 0)
        self.built = True

    def call(self, batch, training=None):
        self.check_batch_size(batch.labels.shape[0])
        self.check_labels(batch.labels)
        if not training:
            return References(*(x[:0] for x in batch))
        # `convert_to_tensor` would be the variable itself on TensorFlow, which is read
        # when it is used: after this batch is in it.
        kept = (ops.stop_gradient(w) for w in (self.embeddings, self.labels))
        found = References(*kept, ops.full((self.size,), -1, dtype="int32"))
        self._write(batch, found)
        return found

    def check_labels(self, labels):
        tags = labels.shape[1] if len(labels.shape) == 2 else 1
        if tags != (self.num_tags or 1):
            raise ValueError(
                "`num_tags` of a MemoryBank must be the number of tags that labels "
                "have, or None where they are class ids. Received: num_tags="
                f"{self.num_tags}, and labels of shape {tuple(labels.shape)}."
            )

    def check_batch_size(self, batch_size):
        if batch_size is not None and batch_size > self.size:
            raise ValueError(
                "`size` of a MemoryBank must be at least that of a batch. Received: "
                f"size={self.size}, and a batch of {batch_size}."
            )

    def _write(self, batch, found):
        position, steps = map(ops.convert_to_tensor, (self.position, self.steps))
        warm = steps >= self.warm_up
        # Where the size of the batch is not known beforehand, the last rows of it.
        embeddings, labels = (ops.stop_gradient(x[-self.size :]) for x in batch[:2])
        count = ops.shape(labels)[0]
        slots = (position + ops.arange(count, dtype="int32")) % self.size
        for weight, old, new in (
            (self.embeddings, found.embeddings, embeddings),
            (self.labels, found.labels, labels),
        ):
            new = ops.cast(new, weight.dtype)
            # Of a few rows, not of the whole bank.
            new = ops.where(warm, new, ops.take(old, slots, axis=0))
            weight.assign(ops.scatter_update(old, slots[:, None], new))
        moved = (position + count) % self.size
        self.position.assign(ops.where(warm, moved, position))
        self.steps.assign(ops.minimum(steps + 1, self.warm_up))

    def _add(self, name, shape, dtype, value):
        return self.add_weight(
            name=name,
            shape=shape,
            dtype=dtype,
            initializer=keras.initializers.Constant(value),
            trainable=False,
            autocast=False,
            # With `AllReplicas` all write the same.
            aggregation="only_first_replica",
        )
