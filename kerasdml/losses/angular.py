"""Angular loss."""

import math

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.ops import masked_max


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class Angular(PairLoss):
    """Bounds the angle at which a negative sees the anchor and the positive.

    With unit vectors `x`, `t = tan(alpha)^2`, a positive pair (a, p), its negatives N:

        loss = log(1 + sum_N exp(4 t (x_a + x_p) x_n - 2 (1 + t) x_a x_p))

    The sums over N are a product of two `(q, q)` matrices of exponentials: nothing of
    the size of all triplets is built, but it takes longer than other losses of pairs.

    Pair weight: of (a, n) and of (p, n), `4 t` times the share of n in the softmax over
    N and a 0; of (a, p), `2 (1 + t)` times the shares' sum. It acts at both ends, so a
    pair also gets what its other end gives. An anchor without positives or without
    negatives costs 0.

    Args:
        alpha: Upper bound of the angle, in degrees, above 0, at most 70 (beyond,
            exponentials leave the range of float32). Paper: 36 to 55 (unverified), of
            which 45 is the default; pytorch-metric-learning: 40.
        average: "pairs" (the default), the mean over positive pairs, or "anchors".
        **kwargs: `miner` (a negative counts if it is one of both ends), and Keras'
            `name`, `reduction`, `dtype`. The `similarity` must be "cosine", the
            default. References beyond the batch are refused: the formula needs their
            own similarities to the negatives.

    Raises:
        ValueError: If `alpha` is out of range, the similarity is no cosine, or
            `references` are given.

    Example:

    >>> loss = losses.NPairs() + 2.0 * losses.Angular()

    Source: Wang et al., "Deep Metric Learning with Angular Loss", ICCV 2017,
    https://arxiv.org/abs/1708.01682, its smooth form, for all positive pairs and all
    negatives of a batch. The paper uses it alone and, better, added to `NPairs`.
    """

    needs_rows_of_references = True

    def __init__(self, *, alpha=45.0, average="pairs", **kwargs):
        super().__init__(average=average, **kwargs)
        if not 0 < alpha <= 70:
            raise ValueError(
                "`alpha` must be in degrees, above 0 and at most 70. "
                f"Received: alpha={alpha}."
            )
        if self.similarity != "cosine":
            raise ValueError(
                "Angular is of unit vectors, so `similarity` must be 'cosine'. "
                f"Received: similarity={self.similarity!r}."
            )
        self.alpha = alpha

    def pair_loss(self, similarities, positives, negatives):
        t = math.tan(math.radians(self.alpha)) ** 2
        logits = 4.0 * t * similarities
        peaks = ops.stop_gradient(masked_max(logits, negatives))
        terms = ops.exp(ops.where(negatives, logits - peaks[:, None], float("-inf")))
        sums = ops.matmul(terms, ops.transpose(terms))
        some = ops.logical_and(positives, sums > 0.0)
        push = ops.log(ops.where(some, sums, 1.0)) + peaks[:, None] + peaks
        costs = ops.softplus(push - 2.0 * (1.0 + t) * similarities)
        return ops.sum(ops.where(some, costs, 0.0), axis=1)

    def pair_count(self, similarities, positives, negatives):
        return ops.sum(ops.cast(positives, similarities.dtype), axis=1)
