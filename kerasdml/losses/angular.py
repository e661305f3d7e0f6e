"""Angular loss."""

import math

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.ops.ranking import (
    FEW,
    listed_columns,
    products_of_rows,
    spread,
    sums_of_rows,
)


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class Angular(PairLoss):
    """Bounds the angle at which a negative sees the anchor and the positive.

    With unit vectors `x`, `t = tan(alpha)^2`, a positive pair (a, p), its negatives N:

        loss = log(1 + sum_N exp(4 t (x_a + x_p) x_n - 2 (1 + t) x_a x_p))

    The sums over N are products of rows of exponentials: nothing of the size of all
    triplets is built. Where an anchor has more than 16 positives all rows are
    multiplied with all, which in large batches takes longer than other losses of pairs.

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
            `references` are no anchors too.

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
        return _costs(similarities, positives, negatives, 4.0 * t, 2.0 * (1.0 + t))

    def pair_count(self, similarities, positives, negatives):
        return ops.sum(ops.cast(positives, similarities.dtype), axis=1)


def _costs(similarities, positives, negatives, push, pull):
    """Sums `log(1 + sum_N exp(push (s_an + s_pn) - pull s_ap))` over positives p."""

    def found(of_few, of_many, similarities, positives, negatives):
        """Calls the faster function, of terms, excesses and their sums over N."""
        either = ops.logical_or(positives, ops.transpose(positives))
        most = ops.max(ops.sum(ops.cast(either, "int32"), axis=1))
        terms, peaks = _terms(push, similarities, negatives)

        def few():
            columns, listed = listed_columns(either, FEW)
            sums = products_of_rows(terms, columns, most)
            pulls = pull * ops.take_along_axis(similarities, columns, axis=1)
            pulls -= peaks[:, None] + ops.take(peaks, columns)
            wanted = ops.take_along_axis(positives, columns, axis=1)
            wanted = ops.logical_and(wanted, listed)
            pairs = _excesses(sums, pulls, wanted)
            return of_few(terms, *pairs, columns, listed, most)

        def many():
            sums = ops.matmul(terms, ops.transpose(terms))
            pulls = pull * similarities - (peaks[:, None] + peaks)
            return of_many(terms, *_excesses(sums, pulls, positives))

        return ops.cond(most <= FEW, few, many)

    def summed(terms, excesses, *_):
        return ops.sum(ops.softplus(excesses), axis=1)

    # All tensors are arguments: JAX cannot differentiate what a function closes over.
    @ops.custom_gradient
    def costs(*pairs):
        # Computes everything again: what would be kept is larger than all else.
        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream

            def of_few(terms, excesses, sums, columns, listed, most):
                shares = upstream[:, None] * ops.sigmoid(excesses)
                slopes = spread(shares / sums, columns, terms)
                slopes = slopes + ops.transpose(slopes)
                slopes = ops.take_along_axis(slopes, columns, axis=1)
                slopes = ops.where(listed, push * slopes, 0.0)
                slopes = terms * sums_of_rows(terms, columns, slopes, most)
                return slopes - spread(pull * shares, columns, terms)

            def of_many(terms, excesses, sums):
                shares = upstream[:, None] * ops.sigmoid(excesses)
                slopes = shares / sums
                slopes = ops.matmul(slopes + ops.transpose(slopes), terms)
                return push * terms * slopes - pull * shares

            return found(of_few, of_many, *pairs), None, None

        return found(summed, summed, *pairs), gradient

    return costs(similarities, positives, negatives)


def _terms(push, similarities, negatives):
    """Returns `(q, q)` exponentials of negatives, each row's largest 1, and its log."""
    closest = ops.where(negatives, similarities, float("-inf"))
    peaks = ops.maximum(ops.max(closest, axis=1), -1.0)  # -1 if there is no negative
    return ops.exp(push * (closest - peaks[:, None])), push * peaks


def _excesses(sums, pulls, positives):
    """Returns the exponents of positive pairs, else -inf, and `sums`, 1 for 0."""
    some = ops.logical_and(positives, sums > 0.0)
    sums = ops.where(some, sums, 1.0)
    return ops.where(some, ops.log(sums) - pulls, float("-inf")), sums
