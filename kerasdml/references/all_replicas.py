"""The batches of all replicas as one."""

import keras
from keras import ops

from kerasdml.references.base import References, Source
from kerasdml.step import step


@keras.saving.register_keras_serializable(package="kerasdml.references")
class AllReplicas(Source):
    """Compares a replica's examples with those of all replicas, as one device would.

    Under `tf.distribute` each replica has a part of the batch, and a loss sees no pairs
    of different parts. With this first in `references` it sees them all: a step on
    several replicas is the step of one device on the whole batch. Gradients flow back
    to the replicas whose embeddings they are of. Sources after it are given the whole
    batch.

    Outside `tf.distribute` it changes nothing. On JAX there is nothing to do either:
    with `keras.distribution.DataParallel` a program is written for the whole batch.

    Each replica compares its own rows with all, where a cost follows from its own row;
    else (with `average="pairs"` or "active", copies as anchors, losses or miners that
    need all rows) each computes the costs of the whole batch. Batches should split
    evenly: Keras weighs the examples of a smaller part more.

    Args:
        name: Name of the layer.

    Example:

    >>> sources = [references.AllReplicas(), references.MemoryBank(4096)]
    >>> with tf.distribute.MirroredStrategy().scope():
    ...     model = kerasdml.MetricModel(embedder)
    ...     model.compile("adam", loss=losses.MultiSimilarity(references=sources))
    """

    def __init__(self, *, name="all_replicas"):
        super().__init__(name=name)

    def build(self, dim):
        """Has no weights."""
        del dim
        self.built = True

    def gathered(self, batch):
        """Returns what `call` does, once a step for a batch."""
        return step.once(lambda: self(batch), AllReplicas, batch.embeddings)

    def call(self, batch, training=None):
        """Returns the `References` of the whole batch, and the first row of its own."""
        if keras.backend.backend() != "tensorflow":
            return batch, 0
        import tensorflow as tf

        replica = tf.distribute.get_replica_context()
        if replica is None or replica.num_replicas_in_sync == 1:
            return batch, 0
        embeddings, labels, sizes = (
            replica.all_gather(x, axis=0)
            for x in (batch.embeddings, batch.labels, tf.shape(batch.labels)[:1])
        )
        start = tf.reduce_sum(sizes[: replica.replica_id_in_sync_group])
        rows = ops.arange(ops.shape(labels)[0], dtype="int32")
        return References(embeddings, labels, rows), start
