"""Threshold-consistent margin loss."""

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.ops import row_shares_of_mean


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class ThresholdConsistentMargin(PairLoss):
    """Bounds all classes by the same two similarities; added to another loss.

    One threshold then serves all classes, seen or not. Over the hard pairs of the
    batch, positive at `s_p <= positive_margin`, negative at `s_n >= negative_margin`:

        loss = positive_weight * mean(positive_margin - s_p)
             + negative_weight * mean(s_n - negative_margin)

    Pair weight: that of its term, over the number of hard pairs of its kind; 0 of any
    other pair. Without hard pairs of a kind its term is 0.

    Args:
        positive_margin: The similarity above which a positive is close enough. Paper:
            0.9.
        negative_margin: The similarity below which a negative is far enough. Paper:
            0.5.
        positive_weight: Weight of the first term, at least 0. Paper: 1.
        negative_weight: Weight of the second term, at least 0. Paper: 1.
        **kwargs: `similarity` ("cosine" in the paper), `references`, `miner`, and
            Keras' `name`, `reduction`, `dtype`. The means are over pairs, so `average`
            must be "anchors", the default.

    Raises:
        ValueError: If `positive_margin` is not above `negative_margin`, if a weight is
            negative, or `average` is not "anchors".

    Example:

    >>> loss = losses.MultiSimilarity() + losses.ThresholdConsistentMargin()

    Source: Zhang et al., "Threshold-Consistent Margin Loss for Open-World Deep Metric
    Learning", ICLR 2024, https://arxiv.org/abs/2307.04047.
    """

    row_wise = False

    def __init__(
        self,
        *,
        positive_margin=0.9,
        negative_margin=0.5,
        positive_weight=1.0,
        negative_weight=1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if positive_margin <= negative_margin:
            raise ValueError(
                "`positive_margin` must be above `negative_margin`. Received: "
                f"positive_margin={positive_margin}, negative_margin={negative_margin}."
            )
        if positive_weight < 0 or negative_weight < 0:
            raise ValueError(
                "`positive_weight` and `negative_weight` must not be negative. "
                f"Received: positive_weight={positive_weight}, "
                f"negative_weight={negative_weight}."
            )
        if self.average != "anchors":
            raise ValueError(
                "ThresholdConsistentMargin is a mean over pairs whatever their anchor: "
                f"`average` must be 'anchors'. Received: average={self.average!r}."
            )
        self.positive_margin = positive_margin
        self.negative_margin = negative_margin
        self.positive_weight = positive_weight
        self.negative_weight = negative_weight

    def pair_loss(self, similarities, positives, negatives):
        pull = self.positive_margin - similarities
        push = similarities - self.negative_margin
        pulled = ops.logical_and(positives, pull >= 0.0)
        pushed = ops.logical_and(negatives, push >= 0.0)
        return self.positive_weight * row_shares_of_mean(
            pull, pulled
        ) + self.negative_weight * row_shares_of_mean(push, pushed)
