"""Intra-pair variance loss."""

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.ops import row_shares_of_mean


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class IntraPairVariance(PairLoss):
    """Draws the harder pairs of a batch to the mean of their kind; added to a loss.

    With the positive pairs of the batch at similarities `s_p`, the negative at `s_n`:

        loss = mean max((1 - positive_slack) * mean(s_p) - s_p, 0)^2
             + mean max(s_n - (1 + negative_slack) * mean(s_n), 0)^2

    Pair weight: twice its distance from the bound, over the number of pairs; and all
    pairs take part in their mean, so easy ones are let go. A batch without positives
    (or negatives) has no first (or second) term. On its own it is 0 once all pairs are
    alike: use it beside a loss that tells them apart.

    Args:
        positive_slack: How far below the mean, relatively, a positive is to lie at no
            cost, 0 … 1. Paper: 0.01.
        negative_slack: How far above the mean, relatively, a negative is to lie at no
            cost, 0 … 1. Paper: 0.01.
        **kwargs: `similarity` ("cosine" in the paper), `references`, `miner`, and
            Keras' `name`, `reduction`, `dtype`. The means are over pairs, so `average`
            must be "anchors", the default.

    Raises:
        ValueError: If a slack is out of range, or `average` is not "anchors".

    Example:

    >>> loss = losses.TupletMargin() + 0.5 * losses.IntraPairVariance()

    Source: Yu and Tao, "Deep Metric Learning with Tuplet Margin Loss", ICCV 2019, which
    adds half of it to `TupletMargin`. Gradients enter the means, as in
    pytorch-metric-learning.
    """

    row_wise = False

    def __init__(self, *, positive_slack=0.01, negative_slack=0.01, **kwargs):
        super().__init__(**kwargs)
        if not (0 <= positive_slack <= 1 and 0 <= negative_slack <= 1):
            raise ValueError(
                "`positive_slack` and `negative_slack` must be 0 … 1. Received: "
                f"positive_slack={positive_slack}, negative_slack={negative_slack}."
            )
        if self.average != "anchors":
            raise ValueError(
                "IntraPairVariance is a mean over pairs whatever their anchor: "
                f"`average` must be 'anchors'. Received: average={self.average!r}."
            )
        self.positive_slack = positive_slack
        self.negative_slack = negative_slack

    def pair_loss(self, similarities, positives, negatives):
        lowest = (1.0 - self.positive_slack) * _mean(similarities, positives)
        highest = (1.0 + self.negative_slack) * _mean(similarities, negatives)
        pull = ops.relu(lowest - similarities) ** 2
        push = ops.relu(similarities - highest) ** 2
        return row_shares_of_mean(pull, positives) + row_shares_of_mean(push, negatives)


def _mean(x, mask):
    return ops.mean(row_shares_of_mean(x, mask))
