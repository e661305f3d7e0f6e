"""ArcFace: additive angular margin softmax."""

import math

import keras
from keras import ops

from kerasdml.losses.base import ProxyLoss
from kerasdml.ops import log_sum_exp, safe_sqrt


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
        **kwargs: Keras' `name`, `reduction`, `dtype`.

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
        own = ops.sum(ops.where(positives, similarities, 0.0), axis=1, keepdims=True)
        own = self._with_margin(own)
        logits = self.scale * ops.where(positives, own, similarities)
        costs = log_sum_exp(logits, ops.logical_or(positives, negatives))
        costs -= self.scale * own[:, 0]
        return ops.where(ops.any(positives, axis=1), costs, 0.0)

    def _with_margin(self, cosine):
        # The addition theorem needs no arccos, whose slope is infinite at the ends.
        sine = safe_sqrt(1.0 - cosine**2)
        added = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        beyond = cosine - self.margin * math.sin(self.margin)
        return ops.where(cosine > -math.cos(self.margin), added, beyond)
