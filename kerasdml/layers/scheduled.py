"""Numbers that follow a schedule of training steps."""

import numbers

import keras
from keras import ops

from kerasdml.layers.stateful import StatefulLayer


def check_scheduled(name, value):
    """Returns a number of at least 0, or a schedule, or raises a `ValueError`."""
    follows = isinstance(value, keras.optimizers.schedules.LearningRateSchedule)
    if follows or (isinstance(value, numbers.Real) and value >= 0):
        return value
    raise ValueError(
        f"`{name}` must be a number of at least 0, or a schedule, one of "
        f"`keras.optimizers.schedules`. Received: {name}={value!r}."
    )


@keras.saving.register_keras_serializable(package="kerasdml.layers")
class Scheduled(StatefulLayer):
    """A number that follows a schedule, by the steps of training that asked for it.

    Its steps are saved with the model, so that training goes on where it was.

    Args:
        schedule: A `keras.optimizers.schedules.LearningRateSchedule`, which gives any
            number, not rates alone; or a number of at least 0, which stays.
        name: Name of the layer.

    Raises:
        ValueError: If `schedule` is neither.

    Example:

    >>> halved = keras.optimizers.schedules.ExponentialDecay(8.0, 1000, 0.5)
    >>> layer = kerasdml.layers.Scheduled(schedule=halved)
    """

    def __init__(self, *, schedule, name="scheduled"):
        super().__init__(name=name)
        self.schedule = check_scheduled("schedule", schedule)

    def build(self, dim):
        """Creates `steps ()`, whatever the size of the embeddings."""
        del dim
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

    def now(self, training):
        """Returns the number of this step, and counts the step if `training`."""
        value = self.schedule
        if callable(value):
            value = value(ops.convert_to_tensor(self.steps))
        if training:
            self.steps.assign(self.steps + 1)
        return value
