"""Lifted structured feature embedding."""

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.ops import log_sum_exp


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class LiftedStructure(PairLoss):
    """Compares each positive pair with all negatives of both its ends, smoothly.

    For a positive pair (i, j) at distance `D`, over the negatives of i and those of j:

        J_ij = log(sum_i exp(margin - D_ik) + sum_j exp(margin - D_jk)) + D_ij
        loss = mean over the positive pairs of max(J_ij, 0)^2 / 2

    Pair weight: `max(J, 0)` of a positive; a negative takes of it the share of its
    exponential among those in the sum, from every positive pair at either end.
    A positive pair without any negative costs nothing and is not counted; a batch
    without positives costs 0.

    Args:
        margin: The distance up to which negatives push, in units of distance. Paper: 1.
        similarity: "euclidean" (the default), on embeddings that are not normalised,
            as in the paper. On unit vectors, which pytorch-metric-learning makes of
            them, distances end at 2 and the hinge hardly ever closes.
        average: "pairs" (the default), the mean over positive pairs, or "anchors".
        **kwargs: `miner`, and Keras' `name`, `reduction`, `dtype`. References beyond
            the batch are refused: the formula needs their own negatives.

    Raises:
        ValueError: If `references` are no anchors too.

    Example:

    >>> embedder = kerasdml.models.Embedder("conv4", dim=64, normalize=False)
    >>> model = kerasdml.MetricModel(embedder, similarity="euclidean")
    >>> model.compile("adam", loss=kerasdml.losses.LiftedStructure())

    Source: Oh Song et al., "Deep Metric Learning via Lifted Structured Feature
    Embedding", CVPR 2016, https://arxiv.org/abs/1511.06452. An anchor's cost is the sum
    over its ordered pairs of half the hinge's square, so each pair counts at both ends
    and in the divisor too, which is the paper's mean over unordered pairs. Where the
    authors' code divides by 0 (no positives, coincident positives), this gives 0. Their
    batches are `data.pair_batches`.
    """

    needs_rows_of_references = True

    def __init__(
        self, *, margin=1.0, similarity="euclidean", average="pairs", **kwargs
    ):
        super().__init__(similarity=similarity, average=average, **kwargs)
        self.margin = margin

    def pair_loss(self, similarities, positives, negatives):
        push = log_sum_exp(self.margin + similarities, negatives)
        some = ops.any(negatives, axis=1)
        lifted = _log_add_exp(push, some) - similarities
        hinge = ops.relu(ops.where(_pairs(positives, negatives), lifted, 0.0))
        return ops.einsum("qr,qr->q", hinge, hinge) / 2.0

    def pair_count(self, similarities, positives, negatives):
        pairs = _pairs(positives, negatives)
        return ops.sum(ops.cast(pairs, similarities.dtype), axis=1)


def _pairs(positives, negatives):
    """Selects the positive pairs with a negative at either end."""
    some = ops.any(negatives, axis=1)
    return ops.logical_and(positives, ops.logical_or(some[:, None], some))


def _log_add_exp(x, mask):
    """Returns `(q, q)` `log(exp(x_i) + exp(x_j))` of what `mask (q,)` selects."""
    lowest = ops.stop_gradient(ops.min(x)) - 100.0  # exp(-100) is nothing in float32
    x = ops.where(mask, x, lowest)
    # `logaddexp` keeps several more arrays of this size for the gradient.
    return x[:, None] + ops.softplus(x[None, :] - x[:, None])
