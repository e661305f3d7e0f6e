"""Distributions remembered from step to step."""

import keras
from keras import ops

from kerasdml.layers.stateful import StatefulLayer


@keras.saving.register_keras_serializable(package="kerasdml.layers")
class MovingHistogram(StatefulLayer):
    """A histogram remembered from step to step, as an exponential moving average.

    Args:
        nodes: Number of places where it counts.
        rate: Share of the newest counts, above 0 and at most 1; the first are taken
            as they are.
        name: Name of the layer.

    Raises:
        ValueError: If `rate` is outside its range.
    """

    def __init__(self, *, nodes, rate=0.01, name="moving_histogram"):
        super().__init__(name=name)
        if not 0 < rate <= 1:
            raise ValueError(f"`rate` must be in (0, 1]. Received: rate={rate}.")
        self.nodes = nodes
        self.rate = rate

    def build(self, dim):
        """Creates `shares (nodes,)`, whatever the size of the embeddings."""
        del dim
        self.shares = self.add_weight(
            name="shares",
            shape=(self.nodes,),
            initializer="zeros",
            trainable=False,
            autocast=False,
            aggregation="mean",
        )
        self.built = True

    def updated(self, counts, training):
        """Returns the shares, of sum 1, moved towards those of `counts` if `training`.

        Before there was any, all are the same.
        """
        shares = ops.convert_to_tensor(self.shares)
        if training:
            counts = ops.cast(ops.stop_gradient(counts), shares.dtype)
            total = ops.sum(counts)
            newest = counts / ops.where(total > 0.0, total, 1.0)
            rate = ops.where(ops.any(shares > 0.0), self.rate, 1.0)
            moved = shares + ops.cast(rate, shares.dtype) * (newest - shares)
            shares = ops.where(total > 0.0, moved, shares)
            self.shares.assign(shares)
        return ops.where(ops.any(shares > 0.0), shares, 1.0 / self.nodes)
