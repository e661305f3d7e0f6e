"""Fusion of local features with a global one."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasdml.layers")
class OrthogonalFusion(keras.layers.Layer):
    """Joins a global feature with what the local ones say beyond it.

    Of the features at each position of a map, the part along the global feature is
    taken away; what is left, averaged over the positions, is put behind it.

    Call it with the map `(b, …, c)` and the global features `(b, c)`; it gives
    `(b, 2 * c)`. Nothing is taken away along a global feature of 0.

    Args:
        **kwargs: `name`, `dtype`.

    Source: Yang et al., "DOLG: Single-Stage Image Retrieval with Deep Orthogonal Fusion
    of Local and Global Features", ICCV 2021, https://arxiv.org/abs/2108.02927.
    """

    def build(self, features_shape, overall_shape):
        self.built = True

    def call(self, features, overall):
        positions = tuple(range(1, len(features.shape) - 1))
        # Taking away is linear, so it is done once, after the mean.
        mean = ops.mean(features, axis=positions)
        square = ops.sum(overall**2, axis=-1, keepdims=True)
        along = ops.sum(mean * overall, axis=-1, keepdims=True)
        along = along / ops.where(square > 0.0, square, 1.0)
        return ops.concatenate([overall, mean - along * overall], axis=-1)

    def compute_output_shape(self, features_shape, overall_shape):
        return (overall_shape[0], 2 * overall_shape[1])
