"""AdaCos: a scale that adapts itself."""

import math

import keras
from keras import ops

from kerasdml.layers import MovingAverage
from kerasdml.losses.base import ProxyLoss
from kerasdml.ops import log_sum_exp, of_own, softmax_costs
from kerasdml.step import step


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class AdaCos(ProxyLoss):
    """Softmax over the proxies' cosines, at a scale that needs no tuning.

    The cost is the cross-entropy of `scale * cos(theta)`, `theta` being the angle
    between an embedding and a proxy. The scale is what makes the softmax steepest: at
    first, and fixed if not `dynamic`, as if `theta` were pi / 4,

        scale = sqrt(2) * log(num_classes - 1)

    and then, before the cost of each step of training,

        scale = log(B) / cos(min(theta_med, pi / 4))

    with `theta_med` the batch's median angle to the own proxy, and B the mean over the
    batch of the sum over other classes of `exp(scale * cos(theta))` at the scale so
    far. It takes no part in the gradient. Where B is below 1, which takes few classes,
    the scale is 0 for that step rather than negative. The median of an even number is
    the lower of two angles.

    Pair weight: of another proxy, the scale times its share of the softmax; of the own,
    the scale times one less its share.

    Args:
        num_classes: Number of classes, at least 3: with 2 the scale would be 0.
        dynamic: Whether the scale follows the training. Paper: both; the dynamic one is
            better there, and the default.
        **kwargs: `regularizer`, and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `num_classes` is below 3.

    Example:

    >>> model = kerasdml.MetricModel(embedder)
    >>> model.compile("adam", loss=kerasdml.losses.AdaCos(num_classes=100))

    Source: Zhang et al., "AdaCos: Adaptively Scaling Cosine Logits for Effectively
    Learning Deep Face Representations", CVPR 2019, https://arxiv.org/abs/1905.00292.
    """

    def __init__(self, *, num_classes, dynamic=True, **kwargs):
        super().__init__(num_classes=num_classes, **kwargs)
        if self.num_classes < 3:
            raise ValueError(
                "`num_classes` must be at least 3: the scale of two classes is 0. "
                f"Received: num_classes={num_classes}."
            )
        self.dynamic = dynamic
        fixed = math.sqrt(2.0) * math.log(self.num_classes - 1)
        self.scale = MovingAverage(initial=fixed, rate=1.0, name="scale")

    @property
    def layers(self):
        return [*super().layers, self.scale]

    def pair_loss(self, similarities, positives, negatives):
        scale = ops.convert_to_tensor(self.scale.value)
        if self.dynamic and step.training:
            pairs = ops.stop_gradient(similarities), positives, negatives
            scale = self.scale.updated(_steepest(scale, *pairs), training=True)
        logits = ops.cast(scale, similarities.dtype) * similarities
        own = of_own(logits, positives)
        return softmax_costs(own, logits, positives, negatives)


def _steepest(scale, similarities, positives, negatives):
    """Returns the scale of the next step, or `scale` if no example has a class."""
    known = ops.any(positives, axis=1)
    count = ops.sum(ops.cast(known, "int32"))
    own = ops.where(known, of_own(similarities, positives)[:, 0], float("-inf"))
    median = ops.take(-ops.sort(-own), (ops.maximum(count, 1) - 1) // 2)
    others = log_sum_exp(ops.cast(scale, own.dtype) * similarities, negatives)
    others = log_sum_exp(others, known) - ops.log(ops.cast(count, own.dtype))
    new = ops.maximum(others, 0.0) / ops.maximum(median, math.sqrt(0.5))
    return ops.where(count > 0, new, ops.cast(scale, new.dtype))
