"""CosFace: large margin cosine loss."""

import keras

from kerasdml.losses.base import ProxyLoss
from kerasdml.ops import of_own, softmax_costs


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class CosFace(ProxyLoss):
    """Softmax over the proxies' cosines, with the own class's cosine made smaller.

    The logits are `scale * cos(theta)`, with `theta` the angle between an embedding and
    a proxy, for the own class `scale * (cos(theta) - margin)`, and the cost is their
    cross-entropy.

    Pair weight: of another proxy, `scale` times its share of the softmax; of the own,
    `scale` times one less its share.

    Args:
        num_classes: Number of classes, at least 2.
        scale: Of the logits, per unit of cosine, > 0. Paper: 64.
        margin: In units of cosine, at least 0 and at most 2. Paper: 0.35.
        **kwargs: `regularizer`, and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `scale` or `margin` is outside its range, or `num_classes` is
            below 2.

    Example:

    >>> model = kerasdml.MetricModel(embedder)
    >>> model.compile("adam", loss=kerasdml.losses.CosFace(num_classes=100))

    Source: Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition",
    CVPR 2018, https://arxiv.org/abs/1801.09414.
    """

    def __init__(self, *, num_classes, scale=64.0, margin=0.35, **kwargs):
        super().__init__(num_classes=num_classes, **kwargs)
        if scale <= 0 or not 0 <= margin <= 2:
            raise ValueError(
                "`scale` must be positive and `margin` a difference of cosines in "
                f"[0, 2]. Received: scale={scale}, margin={margin}."
            )
        self.scale = scale
        self.margin = margin

    def pair_loss(self, similarities, positives, negatives):
        logits = self.scale * similarities
        own = of_own(logits, positives) - self.scale * self.margin
        return softmax_costs(own, logits, positives, negatives)
