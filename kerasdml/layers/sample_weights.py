"""A weight for each sample of the training set."""

import keras
from keras import ops

from kerasdml.layers.stateful import StatefulLayer


@keras.saving.register_keras_serializable(package="kerasdml.layers")
class SampleWeights(StatefulLayer):
    """A weight 0 … 1 for each sample of the training set, by its index; 1 at first.

    Training steps read it; `callbacks.SelfPaced` writes it between epochs.

    Args:
        num_samples: Size of the training set, at least 1.
        name: Name of the layer.

    Attributes:
        values: `(num_samples,)` the weights.
        age: `()` what a sample may cost, by which they were set last; 0 before.

    Raises:
        ValueError: If `num_samples` is below 1.
    """

    def __init__(self, *, num_samples, name="sample_weights"):
        super().__init__(name=name)
        if num_samples < 1:
            raise ValueError(
                f"`num_samples` must be at least 1. Received: {num_samples}."
            )
        self.num_samples = num_samples

    def build(self, dim):
        """Creates the weights, whatever the size of the embeddings."""
        del dim
        remembered = {"trainable": False, "autocast": False}
        shape = (self.num_samples,)
        self.values = self.add_weight(
            name="values", shape=shape, initializer="ones", **remembered
        )
        self.age = self.add_weight(
            name="age", shape=(), initializer="zeros", **remembered
        )
        self.built = True

    def of(self, index):
        """Returns the weights of the samples `index (q,)`, NaN where there is none."""
        known = ops.logical_and(index >= 0, index < self.num_samples)
        values = ops.take(self.values, ops.where(known, index, 0), axis=0)
        return ops.where(known, values, float("nan"))
