"""Embeddings as points of the Poincaré ball."""

import keras

from kerasdml.config import Configured
from kerasdml.ops.poincare import check_ball, to_poincare


@keras.saving.register_keras_serializable(package="kerasdml.layers")
class ToPoincare(Configured, keras.layers.Layer):
    """Maps embeddings into the Poincaré ball, each in its direction.

    An embedding of length l comes to lie at `tanh(√c l) / √c` from the centre, a
    hyperbolic distance of `2 l`. Computed in float32 whatever the dtype policy.

    Cosines are those of the embeddings. What `similarity="hyperbolic"` compares are
    embeddings that it maps itself: give it what goes into this layer, not what comes
    out of it.

    Args:
        curvature: c, > 0; the ball is of radius `1 / √c` and of curvature -c. HIER:
            0.1.
        clip: The length that longer embeddings are cut to first, > 0. HIER: 2.3.
        riemannian_gradient: Whether the gradients of points are multiplied by
            `(1 - c|x|²)² / 4`, the inverse of the metric there: 1/4 at the centre and,
            at curvature 0.1, 0.094 at a length of 2.3.
        name: Name of the layer.

    Raises:
        ValueError: If `curvature` or `clip` is not positive.

    Example:

    >>> to_ball = kerasdml.layers.ToPoincare()
    >>> points = to_ball(embeddings)  # (n, d), of lengths below 1.97

    Source: Kim et al., "HIER: Metric Learning Beyond Class Labels via Hierarchical
    Regularization", CVPR 2023, https://arxiv.org/abs/2212.14258, whose code then also
    brings points beyond 0.999 of the radius back to there; cut embeddings are not, for
    curvatures below 2.7.
    """

    def __init__(
        self, *, curvature=0.1, clip=2.3, riemannian_gradient=True, name="to_poincare"
    ):
        super().__init__(name=name, dtype="float32")
        check_ball(curvature, clip)
        self.curvature = curvature
        self.clip = clip
        self.riemannian_gradient = riemannian_gradient

    def call(self, embeddings):
        return to_poincare(
            embeddings, self.curvature, self.clip, self.riemannian_gradient
        )

    def compute_output_shape(self, input_shape):
        return input_shape
