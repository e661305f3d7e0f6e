"""Triplets weighted by how hard they are among all seen before."""

import keras
from keras import ops

from kerasdml.layers import MovingHistogram
from kerasdml.losses.base import PairLoss
from kerasdml.losses.histogram import check_bins, check_cosine
from kerasdml.ops import masked_max, safe_sqrt
from kerasdml.ops.ranking import FEW, listed_columns
from kerasdml.step import step


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class DynamicSoftMargin(PairLoss):
    """Weights triplets by their rank among those of all steps, instead of a margin.

    With D the Euclidean distance of unit vectors, a positive pair (i, j) is compared
    with the closest negative n of either end, and F the share of triplets so far, this
    step's included, that were no harder:

        t = D_ij - min(D_in, D_jn)
        loss = F(t) t, averaged over the positive pairs

    F is read from a histogram of t over -2 … 2 that training steps move; before the
    first of them it rises evenly. The loss may be below 0.

    Pair weight: of a positive F(t), of a negative the sum of those it is closest for.
    A pair without negatives costs nothing and is not counted.

    Args:
        bins: Number of bins of the histogram, at least 1. The authors' code: 511.
        rate: Share of the newest step in it, above 0 and at most 1. Paper: 0.01.
        average: "pairs" (the default), the mean over positive pairs, or "anchors".
        **kwargs: `miner`, and Keras' `name`, `reduction`, `dtype`. References beyond
            the batch are refused: the formula needs their own negatives.

    Raises:
        ValueError: If `bins` is below 1, `rate` is outside its range, `similarity` is
            not "cosine", `average` is "active", or `references` are no anchors too.

    Example:

    >>> model = kerasdml.MetricModel(embedder)
    >>> model.compile("adam", loss=kerasdml.losses.DynamicSoftMargin())

    Source: Zhang and Rusinkiewicz, "Learning Local Descriptors With a CDF-Based
    Dynamic Soft Margin", ICCV 2019. Its batches are pairs of two images, whose
    negatives are looked for in the other image alone; here in the whole batch.
    pytorch-metric-learning averages over all triplets, and its histogram is part of
    the gradient.
    """

    needs_rows_of_references = True

    def __init__(self, *, bins=511, rate=0.01, average="pairs", **kwargs):
        super().__init__(average=average, **kwargs)
        self.bins = check_bins(bins)
        check_cosine(self)
        if average == "active":
            raise ValueError(
                "`average` must be 'pairs' or 'anchors': the costs of "
                "DynamicSoftMargin may be below 0. Received: average='active'."
            )
        self.rate = rate
        self.hardness = MovingHistogram(nodes=bins + 1, rate=rate, name="hardness")

    @property
    def layers(self):
        return [*super().layers, self.hardness]

    def pair_loss(self, similarities, positives, negatives):
        some = ops.any(negatives, axis=1)
        closest = ops.where(some, _closest(similarities, negatives), -1.0)
        nearest = _distance(closest)
        nearest = ops.minimum(nearest[:, None], nearest)
        pairs = _pairs(positives, negatives)
        hardness = _distance(ops.where(pairs, similarities, 1.0)) - nearest
        weights = self._weights(ops.stop_gradient(hardness), pairs)
        return ops.einsum("qr,qr->q", weights, hardness)

    def pair_count(self, similarities, positives, negatives):
        pairs = _pairs(positives, negatives)
        return ops.sum(ops.cast(pairs, similarities.dtype), axis=1)

    def _weights(self, hardness, pairs):
        """Returns `(q, q)` the share of triplets seen that were no harder."""
        counts = self._counted(hardness, pairs)
        shares = self.hardness.updated(counts, training=step.training)
        up_to = ops.cast(ops.cumsum(shares), hardness.dtype)
        cells = ops.cast(self._positions(hardness), "int32")
        return ops.where(pairs, ops.take(up_to, cells), 0.0)

    def _counted(self, hardness, pairs):
        """Returns `(bins + 1,)` the triplets' counts at the nodes of the histogram."""

        def count(hardness, pairs):
            positions = self._positions(hardness)
            cells = ops.cast(positions, "int32")
            upper = positions - ops.cast(cells, positions.dtype)
            upper = ops.where(pairs, upper, 0.0)
            either = _totals(ops.cast(pairs, positions.dtype), cells, self.bins + 1)
            upper = _totals(upper, cells, self.bins + 1)
            # What lies between two nodes counts at both, by how near it is to either.
            return either - upper + ops.concatenate([0.0 * upper[:1], upper[:-1]])

        def count_few():
            columns, listed = listed_columns(pairs, FEW)
            return count(ops.take_along_axis(hardness, columns, axis=1), listed)

        most = ops.max(ops.sum(ops.cast(pairs, "int32"), axis=1))
        return ops.cond(most <= FEW, count_few, lambda: count(hardness, pairs))

    def _positions(self, hardness):
        return ops.clip((hardness + 2.0) * (self.bins / 4.0), 0.0, self.bins)


def _totals(x, places, size):
    return ops.segment_sum(ops.reshape(x, (-1,)), ops.reshape(places, (-1,)), size)


def _closest(similarities, negatives):
    """Returns `(q,)` what `masked_max` does, but the gradient needs booleans alone."""
    peaks = ops.stop_gradient(masked_max(similarities, negatives, keepdims=True))
    best = ops.logical_and(negatives, similarities == peaks)
    count = ops.sum(ops.cast(best, "int32"), axis=1)
    total = ops.sum(ops.where(best, similarities, 0.0), axis=1)
    return total / ops.cast(ops.maximum(count, 1), total.dtype)


def _distance(cosine):
    return safe_sqrt(2.0 - 2.0 * cosine)


def _pairs(positives, negatives):
    """Selects the positive pairs with a negative at either end."""
    some = ops.any(negatives, axis=1)
    return ops.logical_and(positives, ops.logical_or(some[:, None], some))
