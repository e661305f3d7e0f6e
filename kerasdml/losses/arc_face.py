"""ArcFace: additive angular margin softmax."""

import math

import keras

from kerasdml.losses.base import ProxyLoss
from kerasdml.ops import of_own, softmax_costs, with_angle_added


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class ArcFace(ProxyLoss):
    """Softmax over the proxies' cosines, with the own class's angle made larger.

    With `theta` the angle between an embedding and a proxy, the logits are
    `scale * cos(theta)`, for the own class `scale * cos(theta + margin)`, and the cost
    is their cross-entropy. Beyond `theta = pi - margin`, where the cosine would rise
    again and push the embedding away from its class, the own logit goes on falling as
    `scale * (cos(theta) - margin * sin(margin))`.

    Pair weight: of another proxy, `scale` times its share of the softmax; of the own,
    `scale` times one less its share, times `sin(theta + margin) / sin(theta)` (1 beyond
    `pi - margin`).

    Args:
        num_classes: Number of classes, at least 2.
        scale: Of the logits, per unit of cosine, > 0. Paper: 64.
        margin: Angle in radians, at least 0 and below pi / 2. Paper: 0.5.
        **kwargs: `regularizer`, and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `scale` or `margin` is outside its range, or `num_classes` is
            below 2.

    Example:

    >>> model = kerasdml.MetricModel(embedder)
    >>> model.compile("adam", loss=kerasdml.losses.ArcFace(num_classes=100))

    Source: Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face
    Recognition", CVPR 2019, https://arxiv.org/abs/1801.07698; the branch beyond
    `pi - margin` is in the authors' code, not in the paper. Proxies start as
    N(0, 0.01), as there.
    """

    def __init__(self, *, num_classes, scale=64.0, margin=0.5, **kwargs):
        super().__init__(num_classes=num_classes, **kwargs)
        if scale <= 0 or not 0 <= margin < math.pi / 2:
            raise ValueError(
                "`scale` must be positive and `margin` an angle in [0, pi / 2). "
                f"Received: scale={scale}, margin={margin}."
            )
        self.scale = scale
        self.margin = margin

    def initializer(self, num_classes):
        return keras.initializers.RandomNormal(stddev=0.01)

    def pair_loss(self, similarities, positives, negatives):
        own = with_angle_added(of_own(similarities, positives), self.margin)
        return softmax_costs(
            self.scale * own, self.scale * similarities, positives, negatives
        )
