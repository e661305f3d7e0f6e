"""Pooling of feature maps into one vector an image."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasdml.layers")
class GeM(keras.layers.Layer):
    """Generalised mean of each channel over all positions: `mean(x ** p) ** (1 / p)`.

    `p = 1` is average pooling, and a growing `p` tends to max pooling. Features are
    clipped from below at `minimum`, so they should be mostly positive, as after ReLU.

    Args:
        power: First value of `p`, > 0. Paper: 3.
        minimum: What smaller features are raised to, > 0; the power of a negative
            number is not defined. The authors' code: 1e-6.
        trainable: Whether `p` is trained.
        **kwargs: `name`.

    Raises:
        ValueError: If `power` or `minimum` is not positive.

    Source: Radenovic et al., "Fine-tuning CNN Image Retrieval with No Human
    Annotation", TPAMI 2019, https://arxiv.org/abs/1711.02512.
    """

    def __init__(self, power=3.0, minimum=1e-6, trainable=True, **kwargs):
        # Half precision overflows at the third power of 41.
        super().__init__(trainable=trainable, **{**kwargs, "dtype": "float32"})
        if power <= 0 or minimum <= 0:
            raise ValueError(
                "`power` and `minimum` must be positive. "
                f"Received: power={power}, minimum={minimum}."
            )
        self.power = power
        self.minimum = minimum

    def build(self, input_shape):
        self.p = self.add_weight(
            name="power",
            shape=(),
            initializer=keras.initializers.Constant(self.power),
        )
        self.built = True

    def call(self, features):
        # Powers relative to the largest feature stay within range for any p.
        features = ops.maximum(features, self.minimum)
        peak = ops.stop_gradient(ops.max(features, axis=(1, 2), keepdims=True))
        mean = ops.mean((features / peak) ** self.p, axis=(1, 2))
        return mean ** (1.0 / self.p) * peak[:, 0, 0, :]

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])

    def get_config(self):
        config = super().get_config()
        return {**config, "power": self.power, "minimum": self.minimum}
