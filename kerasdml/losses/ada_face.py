"""AdaFace: a margin by the quality of the image."""

import keras
from keras import ops

from kerasdml.layers import MovingAverage
from kerasdml.losses.base import ProxyLoss
from kerasdml.ops import of_own, safe_sqrt, similarities, softmax_costs
from kerasdml.step import step


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class AdaFace(ProxyLoss):
    """Softmax over proxies that stresses hard examples only where their image is good.

    The quality of an image is taken to be the length of its embedding, among those of
    the batches so far: `z = (length - mean) / deviation * concentration`, brought to
    -1 … 1. With `theta` the angle between an embedding and its proxy, the own logit is

        scale * (cos(theta - margin * z) - margin * (1 + z))

    which is ArcFace for the worst image, CosFace for the average one, and for the best
    has an angle below 0; the other logits are `scale * cos`. The cost is their
    cross-entropy. The angle within the cosine is brought to 0 … pi.

    `mean` and `deviation` are moving averages, which each step of training moves before
    the cost is computed. Neither they nor the length take part in the gradient. The
    embedder must not scale its embeddings to length 1, or all are of one quality.

    Pair weight: that of `ArcFace` with an angle of `-margin * z`, and 0 where the angle
    is beyond 0 … pi.

    Args:
        num_classes: Number of classes, at least 2.
        scale: Of the logits, per unit of cosine, > 0. Paper: 64.
        margin: Angle in radians and difference of cosines, at least 0 and below 1.
            Paper: 0.4.
        concentration: Of `z`, > 0: at 1/3 two thirds of the images are within a third.
            Paper: 0.33; the authors' code: 0.333.
        rate: Share of the newest batch in the averages, above 0 and at most 1. Paper:
            0.01. The authors' code has 1, no average at all, where not told otherwise.
        **kwargs: `regularizer`, and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If an argument is outside its range, or `num_classes` is below 2.

    Example:

    >>> model = kerasdml.MetricModel(embedder)
    >>> model.compile("adam", loss=kerasdml.losses.AdaFace(num_classes=100))

    Source: Kim et al., "AdaFace: Quality Adaptive Margin for Face Recognition", CVPR
    2022, https://arxiv.org/abs/2204.00964. The averages start at 20 and 100, lengths
    count from 0.001 to 100 and the deviation is that of a sample, with 0.001 added, as
    in the authors' code.
    """

    def __init__(
        self,
        *,
        num_classes,
        scale=64.0,
        margin=0.4,
        concentration=0.333,
        rate=0.01,
        **kwargs,
    ):
        super().__init__(num_classes=num_classes, **kwargs)
        if scale <= 0 or concentration <= 0 or not 0 <= margin < 1:
            raise ValueError(
                "`scale` and `concentration` must be positive and `margin` in [0, 1). "
                f"Received: scale={scale}, concentration={concentration}, "
                f"margin={margin}."
            )
        self.scale = scale
        self.margin = margin
        self.concentration = concentration
        self.rate = rate
        self.mean = MovingAverage(initial=20.0, rate=rate, name="mean")
        self.deviation = MovingAverage(initial=100.0, rate=rate, name="deviation")

    @property
    def layers(self):
        return [*super().layers, self.mean, self.deviation]

    def cost(self, embeddings, positives, negatives):
        squares = ops.sum(ops.stop_gradient(embeddings) ** 2, axis=1, keepdims=True)
        lengths = ops.sqrt(ops.clip(squares, 1e-6, 1e4))
        known = ops.any(positives, axis=1, keepdims=True)
        mean, deviation = self._statistics(lengths, known)
        z = self.concentration * (lengths - mean) / (deviation + 1e-3)
        s = similarities(embeddings, ops.cast(self.proxies.points, embeddings.dtype))
        return self.pair_loss(s, positives, negatives, ops.clip(z, -1.0, 1.0))

    def pair_loss(self, similarities, positives, negatives, z=0.0):
        cosine = of_own(similarities, positives)
        z = ops.convert_to_tensor(z, dtype=cosine.dtype)
        own = _with_angle(cosine, -self.margin * z) - self.margin * (1.0 + z)
        return softmax_costs(
            self.scale * own, self.scale * similarities, positives, negatives
        )

    def _statistics(self, lengths, known):
        """Returns `mean, deviation`, moved by the lengths of examples with a class."""
        count = ops.sum(ops.cast(known, lengths.dtype))
        mean = ops.sum(ops.where(known, lengths, 0.0)) / ops.maximum(count, 1.0)
        squares = ops.sum(ops.where(known, (lengths - mean) ** 2, 0.0))
        deviation = ops.sqrt(squares / ops.maximum(count - 1.0, 1.0))
        found = []
        for average, value in ((self.mean, mean), (self.deviation, deviation)):
            value = ops.where(count > 1.0, value, ops.cast(average.value, value.dtype))
            found.append(average.updated(value, training=step.training))
        return [ops.cast(x, lengths.dtype) for x in found]


def _with_angle(cosine, angle):
    """Returns `cos(theta + angle)`, with `theta + angle` brought to 0 … pi."""
    sine = safe_sqrt(1.0 - cosine**2)
    added = cosine * ops.cos(angle) - sine * ops.sin(angle)
    below = ops.logical_and(angle < 0.0, cosine > ops.cos(angle))
    beyond = ops.logical_and(angle > 0.0, cosine < -ops.cos(angle))
    return ops.where(below, 1.0, ops.where(beyond, -1.0, added))
