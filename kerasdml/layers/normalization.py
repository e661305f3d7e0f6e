"""Scaling embeddings to length 1."""

import keras

from kerasdml.ops import normalize


@keras.saving.register_keras_serializable(package="kerasdml.layers")
class L2Normalization(keras.layers.Layer):
    """Scales each embedding to length 1, in float32 whatever the dtype policy.

    An embedding of exactly 0, such as that of a blank image before training, stays 0
    with a gradient of ordinary size; `keras.layers.UnitNormalization` has one of 1e12
    there, which ends the training.

    Args:
        **kwargs: `name`.
    """

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, embeddings):
        return normalize(embeddings)

    def compute_output_shape(self, input_shape):
        return input_shape
