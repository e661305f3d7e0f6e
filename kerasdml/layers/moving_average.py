"""Numbers remembered from step to step."""

import keras
from keras import ops

from kerasdml.layers.stateful import StatefulLayer


@keras.saving.register_keras_serializable(package="kerasdml.layers")
class MovingAverage(StatefulLayer):
    """A number remembered from step to step, as an exponential moving average.

    Args:
        initial: What it is before the first step.
        rate: Share of the newest value, above 0 and at most 1; 1 remembers the last.
        name: Name of the layer.

    Raises:
        ValueError: If `rate` is outside its range.
    """

    def __init__(self, *, initial=0.0, rate=0.01, name="moving_average"):
        super().__init__(name=name)
        if not 0 < rate <= 1:
            raise ValueError(f"`rate` must be in (0, 1]. Received: rate={rate}.")
        self.initial = initial
        self.rate = rate

    def build(self, dim):
        """Creates `value ()`, whatever the size of the embeddings."""
        del dim
        self.value = self.add_weight(
            name="value",
            shape=(),
            initializer=keras.initializers.Constant(self.initial),
            trainable=False,
            autocast=False,
            aggregation="mean",
        )
        self.built = True

    def updated(self, value, training):
        """Returns the average, moved towards `value` before if `training`."""
        if training:
            value = ops.cast(ops.stop_gradient(value), self.value.dtype)
            self.value.assign(self.value + self.rate * (value - self.value))
        return ops.convert_to_tensor(self.value)
