"""Large-margin softmax."""

import numbers

import keras
from keras import ops

from kerasdml.layers import Scheduled
from kerasdml.layers.scheduled import check_scheduled
from kerasdml.losses.base import ProxyLoss
from kerasdml.ops import (
    of_own,
    safe_sqrt,
    similarities,
    softmax_costs,
    with_angle_multiplied,
)
from kerasdml.step import step


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class LargeMarginSoftmax(ProxyLoss):
    """Softmax over dot products with proxies, with the own class's angle multiplied.

    The logits are `|x| |w| cos(theta)`, with the lengths of embedding and proxy as they
    come and `theta` the angle between, and the cost is their cross-entropy. That of the
    own class is `|x| |w| (plain * cos(theta) + psi(theta)) / (plain + 1)`, where `psi`
    is `cos(margin * theta)` made to fall throughout, see `SphereFace`, which leaves the
    lengths out and is easier to train.

    Pair weight: `|x| |w|` times the share of the softmax; for the own proxy, times one
    less its share and the mean, so weighted, of 1 and the slope
    `margin * |sin(margin * theta)| / sin(theta)`.

    Args:
        num_classes: Number of classes, at least 2.
        margin: Factor of the angle, a whole number of at least 1. Paper: 2 … 4;
            default: 4, as in pytorch-metric-learning.
        plain: Weight of the plain logit beside one of `psi`, at least 0: a number, or a
            schedule of `keras.optimizers.schedules`, by steps of training. Alone, `psi`
            hardly trains from scratch. The authors' code lets it fall from 1000, to 0
            or, for data that are large and hard, to 5 or 10; default: 5, throughout.
            pytorch-metric-learning has none of it: 0.
        **kwargs: `regularizer`, and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `margin` or `plain` is outside its range, or `num_classes` is
            below 2.

    Example:

    >>> model = kerasdml.MetricModel(embedder)
    >>> model.compile("adam", loss=kerasdml.losses.LargeMarginSoftmax(num_classes=100))

    >>> decay = keras.optimizers.schedules.PolynomialDecay
    >>> fading = decay(1000.0, decay_steps=20_000, end_learning_rate=5.0, power=3)
    >>> loss = kerasdml.losses.LargeMarginSoftmax(num_classes=100, plain=fading)

    Source: Liu et al., "Large-Margin Softmax Loss for Convolutional Neural Networks",
    ICML 2016, https://arxiv.org/abs/1612.02295, and the authors' code for `plain`.
    Proxies start as Glorot's uniform ones.
    """

    def __init__(self, *, num_classes, margin=4, plain=5.0, **kwargs):
        super().__init__(num_classes=num_classes, **kwargs)
        if not isinstance(margin, numbers.Integral) or margin < 1:
            raise ValueError(
                "`margin` must be a whole number of at least 1. "
                f"Received: margin={margin}."
            )
        self.margin = margin
        self.plain = check_scheduled("plain", plain)
        self.schedule = Scheduled(schedule=plain, name="plain")

    @property
    def layers(self):
        return [*super().layers, self.schedule]

    def initializer(self, num_classes):
        return "glorot_uniform"

    def cost(self, embeddings, positives, negatives):
        points = ops.cast(self.proxies.points, embeddings.dtype)
        lengths = [
            safe_sqrt(ops.sum(x**2, axis=1, keepdims=True), 0.0)
            for x in (embeddings, points)
        ]
        scales = lengths[0] * ops.transpose(lengths[1])
        s = similarities(embeddings, points)
        return self.pair_loss(s, positives, negatives, scales)

    def pair_loss(self, similarities, positives, negatives, scales=1.0):
        plain = ops.cast(self.schedule.now(step.training), similarities.dtype)
        own = of_own(similarities, positives)
        own = (plain * own + with_angle_multiplied(own, self.margin)) / (plain + 1.0)
        own = own * of_own(scales, positives)
        return softmax_costs(own, scales * similarities, positives, negatives)
