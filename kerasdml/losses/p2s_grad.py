"""P2SGrad."""

import keras
from keras import ops

from kerasdml.losses.base import ProxyLoss


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class P2SGrad(ProxyLoss):
    """Draws the cosine to the own proxy to 1 and those to all others to 0.

    The cost is `((1 - c_own)^2 + sum of c^2 over the others) / 2`, c being the cosines.
    The paper puts the cosines in the place of the probabilities in the gradient of a
    softmax, so that there is no scale or margin to tune; this is the cost that has that
    gradient.

    Pair weight: of another proxy, its cosine, which pulls it in where it is below 0; of
    the own, one less its cosine.

    Args:
        num_classes: Number of classes, at least 2.
        regularizer: Keras regularizer of the proxies, its name, or `None`.
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `num_classes` is below 2.

    Example:

    >>> model = kerasdml.MetricModel(embedder)
    >>> model.compile("adam", loss=kerasdml.losses.P2SGrad(num_classes=100))

    Source: Zhang et al., "P2SGrad: Refined Gradients for Optimizing Deep Face Models",
    CVPR 2019, https://arxiv.org/abs/1905.02479. pytorch-metric-learning has the mean
    over examples and classes, `2 / num_classes` times this.
    """

    def pair_loss(self, similarities, positives, negatives):
        known = ops.any(positives, axis=1, keepdims=True)
        errors = similarities - ops.cast(positives, similarities.dtype)
        return 0.5 * ops.sum(ops.where(known, errors, 0.0) ** 2, axis=1)
