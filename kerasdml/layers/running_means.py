"""Means of numbers over steps of training."""

import keras
from keras import ops

from kerasdml.layers.stateful import StatefulLayer


@keras.saving.register_keras_serializable(package="kerasdml.layers")
class RunningMeans(StatefulLayer):
    """Several numbers remembered from step to step, as their means so far.

    Args:
        count: How many numbers.
        rate: Share of the newest in an exponential moving average that begins with the
            first, above 0 and at most 1; `None`: the plain mean of all steps.
        name: Name of the layer.

    Raises:
        ValueError: If `rate` is outside its range.
    """

    def __init__(self, *, count, rate=None, name="running_means"):
        super().__init__(name=name)
        if rate is not None and not 0 < rate <= 1:
            raise ValueError(f"`rate` must be in (0, 1]. Received: rate={rate}.")
        self.count = count
        self.rate = rate

    def build(self, dim):
        """Creates `means (count,)` and `steps ()`."""
        del dim
        self.means = self.add_weight(
            name="means",
            shape=(self.count,),
            initializer="zeros",
            trainable=False,
            autocast=False,
            aggregation="mean",
        )
        self.steps = self.add_weight(
            name="steps",
            shape=(),
            initializer="zeros",
            dtype="int32",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )
        self.built = True

    def updated(self, values, training):
        """Returns the means, `values (count,)` among what they are of if `training`.

        Before the first step they are `values`.
        """
        means = ops.convert_to_tensor(self.means)
        values = ops.cast(ops.stop_gradient(values), means.dtype)
        steps = ops.cast(self.steps, means.dtype)
        if not training:
            return ops.where(steps > 0.0, means, values)
        share = 1.0 / (steps + 1.0)
        if self.rate is not None:
            share = ops.where(steps > 0.0, self.rate, 1.0)
        means = means + share * (values - means)
        self.means.assign(means)
        self.steps.assign(self.steps + 1)
        return means
