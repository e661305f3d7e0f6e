"""Tuplet margin loss."""

import math

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.ops import cross_entropies, safe_sqrt


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class TupletMargin(PairLoss):
    """Picks the positive out of the negatives, by softmax, with slack for its angle.

    For a positive at the angle `a_p` of its anchor, and the anchor's negatives N:

        loss = log(1 + sum_N exp(scale * (cos(a_n) - cos(a_p - margin))))

    The slack lowers the cost of a positive as if it were closer by `margin`, so that
    the hardest tuplets, which the steep softmax would follow alone, count for less.

    Pair weight: of a negative, `scale` times its share of the softmax over N and p,
    from every positive p; of a positive, the sum of those times the slope
    `sin(a_p - margin) / sin(a_p)`: one closer than `margin` is pushed, not pulled. An
    anchor without positives or without negatives costs 0.

    Args:
        margin: Slack, in degrees, 0 … 90. Paper: 5.73, a tenth of a radian.
        scale: Sharpness of the softmax, > 0. Paper: 64.
        average: "pairs" (the default), the mean over tuplets, one a positive pair, or
            "anchors".
        **kwargs: `references`, `miner`, and Keras' `name`, `reduction`, `dtype`. The
            `similarity` must be "cosine", the default.

    Raises:
        ValueError: If `margin` or `scale` is out of range, or the similarity no cosine.

    Example:

    >>> loss = losses.TupletMargin() + 0.5 * losses.IntraPairVariance()

    Source: Yu and Tao, "Deep Metric Learning with Tuplet Margin Loss", ICCV 2019. Its
    tuplets have one negative of each other class; here, as in pytorch-metric-learning,
    they have all negatives.
    """

    def __init__(self, *, margin=5.73, scale=64.0, average="pairs", **kwargs):
        super().__init__(average=average, **kwargs)
        if not 0 <= margin < 90:
            raise ValueError(
                "`margin` must be in degrees, at least 0 and below 90. "
                f"Received: margin={margin}."
            )
        if scale <= 0:
            raise ValueError(f"`scale` must be positive. Received: scale={scale}.")
        if self.similarity != "cosine":
            raise ValueError(
                "TupletMargin is of angles, so `similarity` must be 'cosine'. "
                f"Received: similarity={self.similarity!r}."
            )
        self.margin = margin
        self.scale = scale

    def pair_loss(self, similarities, positives, negatives):
        slack = math.radians(self.margin)
        along, across = self.scale * math.cos(slack), self.scale * math.sin(slack)
        sines = safe_sqrt(1.0 - similarities**2)
        pulls = along * similarities + across * sines
        return cross_entropies(pulls, self.scale * similarities, positives, negatives)

    def pair_count(self, similarities, positives, negatives):
        return ops.sum(ops.cast(positives, similarities.dtype), axis=1)
