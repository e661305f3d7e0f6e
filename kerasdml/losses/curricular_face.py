"""CurricularFace: hard negatives count more as training goes on."""

import math

import keras
from keras import ops

from kerasdml.layers import MovingAverage
from kerasdml.losses.base import ProxyLoss
from kerasdml.ops import of_own, safe_sqrt, softmax_costs, with_angle_added
from kerasdml.step import step


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class CurricularFace(ProxyLoss):
    """ArcFace whose hard negatives count little at first, and more and more.

    With `theta` the angles between an embedding and the proxies, the logit of the own
    class is that of `ArcFace`, `scale * cos(theta + margin)`. Another class is hard if
    its cosine c is above `cos(theta + margin)`, and then its logit is
    `scale * c * (t + c)`, else `scale * c`. The cost is their cross-entropy. `t` is a
    moving average of the batches' mean cosines to the own proxies: about 0 at first, so
    that what is hard is pushed less, and near 1 in the end. Each step of training moves
    it before the cost is computed; it takes no part in the gradient.

    Pair weight: that of `ArcFace`, for a hard class times `t + 2 c`, which pulls it in
    where its cosine is below `-t / 2`.

    Args:
        num_classes: Number of classes, at least 2.
        scale: Of the logits, per unit of cosine, > 0. Paper: 64.
        margin: Angle in radians, at least 0 and below pi / 2. Paper: 0.5.
        rate: Share of the newest batch in `t`, above 0 and at most 1. The authors'
            code, and the default: 0.01. The paper's formula with its momentum of 0.99
            would give the newest batch 0.99.
        **kwargs: `regularizer`, and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `scale`, `margin` or `rate` is outside its range, or
            `num_classes` is below 2.

    Example:

    >>> model = kerasdml.MetricModel(embedder)
    >>> model.compile("adam", loss=kerasdml.losses.CurricularFace(num_classes=100))

    Source: Huang et al., "CurricularFace: Adaptive Curriculum Learning Loss for Deep
    Face Recognition", CVPR 2020, https://arxiv.org/abs/2004.00288. Beyond
    `theta = pi - margin` the own logit is that of `ArcFace`, as in the authors' code.
    Proxies start as N(0, 0.01), as there.
    """

    def __init__(self, *, num_classes, scale=64.0, margin=0.5, rate=0.01, **kwargs):
        super().__init__(num_classes=num_classes, **kwargs)
        if scale <= 0 or not 0 <= margin < math.pi / 2:
            raise ValueError(
                "`scale` must be positive and `margin` an angle in [0, pi / 2). "
                f"Received: scale={scale}, margin={margin}."
            )
        self.scale = scale
        self.margin = margin
        self.rate = rate
        self.t = MovingAverage(rate=rate, name="t")

    def initializer(self, num_classes):
        return keras.initializers.RandomNormal(stddev=0.01)

    @property
    def layers(self):
        return [*super().layers, self.t]

    def pair_loss(self, similarities, positives, negatives):
        own = of_own(similarities, positives)
        t = ops.cast(self._t(own, positives), own.dtype)
        sine = safe_sqrt(1.0 - own**2)
        added = math.cos(self.margin) * own - math.sin(self.margin) * sine
        hard = similarities > added
        logits = ops.where(hard, similarities * (t + similarities), similarities)
        own = with_angle_added(own, self.margin)
        return softmax_costs(
            self.scale * own, self.scale * logits, positives, negatives
        )

    def _t(self, own, positives):
        count = ops.sum(ops.cast(ops.any(positives, axis=1), own.dtype))
        mean = ops.sum(own) / ops.maximum(count, 1.0)
        mean = ops.where(count > 0.0, mean, ops.cast(self.t.value, own.dtype))
        return self.t.updated(mean, training=step.training)
