"""Ranked list loss."""

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.ops import log_sum_exp


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class RankedList(PairLoss):
    """Keeps positives within one distance, negatives beyond a larger one.

    For an anchor with positives P* farther than `alpha - margin` and negatives N*
    closer than `alpha`, those that still violate it, at distances `d`:

        loss = (1 - balance) * mean_P* (d - (alpha - margin))
             + balance * sum_N* w (alpha - d),  w = softmax_N*(sharpness * (alpha - d))

    where the weights w count as constants: no gradient enters them. Within its sphere
    of radius `alpha - margin` a class keeps its own structure.

    Pair weight: `(1 - balance) / |P*|` of a violating positive, `balance * w` of a
    violating negative, else 0. An anchor without violations costs 0.

    Args:
        alpha: The distance beyond which negatives are far enough, > 0. Paper: 1.2, on
            unit vectors (unverified).
        margin: By how much closer positives are to be, 0 … `alpha`. Paper: 0.4
            (unverified).
        sharpness: Of the negatives' softmax, per unit of distance, at least 0; the
            paper's temperature T, which depends on the data (10, unverified). At 0 all
            violating negatives weigh the same.
        positive_sharpness: Likewise for positives, which the paper's later version has.
            At 0, the default, they weigh the same.
        balance: Share of the negatives, 0 … 1. Paper: 0.5.
        similarity: "euclidean" (the default); `alpha` and `margin` are for unit
            vectors.
        **kwargs: `references`, `miner`, `average`, and Keras' `name`, `reduction`,
            `dtype`.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    >>> model.compile("adam", loss=kerasdml.losses.RankedList())

    Source: Wang et al., "Ranked List Loss for Deep Metric Learning", CVPR 2019 and
    TPAMI 2021, https://arxiv.org/abs/1903.03238. In pytorch-metric-learning the
    gradient enters the weights, and their sum is increased by 1e-5 an example.
    """

    def __init__(
        self,
        *,
        alpha=1.2,
        margin=0.4,
        sharpness=10.0,
        positive_sharpness=0.0,
        balance=0.5,
        similarity="euclidean",
        **kwargs,
    ):
        super().__init__(similarity=similarity, **kwargs)
        if not 0 <= margin <= alpha or alpha == 0:
            raise ValueError(
                "`alpha` must be positive and `margin` between 0 and `alpha`. "
                f"Received: alpha={alpha}, margin={margin}."
            )
        if sharpness < 0 or positive_sharpness < 0:
            raise ValueError(
                "`sharpness` and `positive_sharpness` must not be negative. Received: "
                f"sharpness={sharpness}, positive_sharpness={positive_sharpness}."
            )
        if not 0 <= balance <= 1:
            raise ValueError(f"`balance` must be 0 … 1. Received: balance={balance}.")
        self.alpha = alpha
        self.margin = margin
        self.sharpness = sharpness
        self.positive_sharpness = positive_sharpness
        self.balance = balance

    def pair_loss(self, similarities, positives, negatives):
        too_far = -similarities - (self.alpha - self.margin)
        too_close = self.alpha + similarities
        pull = _weighted(too_far, positives, self.positive_sharpness)
        push = _weighted(too_close, negatives, self.sharpness)
        return (1.0 - self.balance) * pull + self.balance * push


def _weighted(excess, mask, sharpness):
    """Returns `(q,)` the mean of what is positive, weighted by a constant softmax."""
    constant = ops.stop_gradient(excess)
    mask = ops.logical_and(mask, constant > 0.0)
    logits = sharpness * constant
    shares = logits - log_sum_exp(logits, mask)[:, None]
    weights = ops.exp(ops.where(mask, shares, float("-inf")))
    return ops.einsum("qr,qr->q", ops.stop_gradient(weights), excess)
