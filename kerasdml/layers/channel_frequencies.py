"""Which channels of an embedding are active in a class."""

import keras
from keras import ops

from kerasdml.layers.sparse_rows import add_to_rows, read_rows
from kerasdml.layers.stateful import StatefulLayer
from kerasdml.ops import class_order


@keras.saving.register_keras_serializable(package="kerasdml.layers")
class ChannelFrequencies(StatefulLayer):
    """Counts, class by class, how often a channel was among an embedding's largest.

    Largest as numbers are: a strongly negative channel is never counted. There is one
    class more than `num_classes`, the last, for examples of none.

    Args:
        num_classes: Number of classes.
        top_k: Channels of an embedding that are counted, at least 1.
        decay: What a step leaves of the counts of the classes in it, above 0 and at
            most 1, which forgets nothing.
        name: Name of the layer.
    """

    def __init__(self, *, num_classes, top_k, decay=1.0, name="channel_frequencies"):
        super().__init__(name=name)
        self.num_classes = num_classes
        self.top_k = top_k
        self.decay = decay

    def build(self, dim):
        """Creates `counts (num_classes + 1, dim)`; whole numbers, up to 2^24."""
        self.counts = self.add_weight(
            name="counts",
            shape=(self.num_classes + 1, dim),
            initializer="zeros",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )
        self.built = True

    def record(self, classes, embeddings):
        """Counts the channels of `embeddings (q, d)` of `classes (q,)`."""
        _, channels = ops.top_k(embeddings, self.top_k)
        seen = ops.sum(ops.one_hot(channels, embeddings.shape[1]), axis=1)
        if self.decay < 1.0:
            # Once for each class, at the first of its examples.
            _, _, rank, _ = class_order(classes)
            lost = (self.decay - 1.0) * read_rows(self.counts, classes)
            seen = seen + ops.where(rank[:, None] == 0, lost, 0.0)
        add_to_rows(self.counts, classes, ops.cast(seen, self.counts.dtype))

    def frequent(self, classes):
        """Returns the channels most often counted in `classes (q,)`, `(q, top_k)`."""
        return ops.top_k(read_rows(self.counts, classes), self.top_k)[1]
