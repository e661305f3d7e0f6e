"""A loss made of pair weights."""

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.ops import log1p_sum_exp


@keras.saving.register_keras_serializable(package="kerasdml.losses")
def multi_similarity_weights(
    similarities, positives, negatives, alpha=2.0, beta=40.0, base=0.5
):
    """Returns the pair weights of `MultiSimilarity`, `(q, r)`.

    With the arguments of that loss, they are

        1 / (exp(+alpha * (s - base)) + sum_P exp(-alpha * (s_k - s)))    of a positive,
        1 / (exp(-beta  * (s - base)) + sum_N exp(+beta  * (s_k - s)))    of a negative.
    """
    excess = similarities - base
    x = ops.where(positives, -alpha * excess, beta * excess)
    totals = [log1p_sum_exp(x, mask)[:, None] for mask in (positives, negatives)]
    shares = ops.exp(x - ops.where(positives, *totals))
    return ops.where(ops.logical_or(positives, negatives), shares, 0.0)


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class WeightedPairs(PairLoss):
    """Pulls positives and pushes negatives with weights that a function gives them.

    For an anchor with similarities `s` to its positives P and negatives N, and the
    weights `w = weighting(similarities, positives, negatives)`, held constant:

        loss = sum_N w * s - sum_P w * s

    Pair weight: what `weighting` says. So whoever has weights needs no formula whose
    derivatives they are. With those of another loss (`-ops.pair_weights` of a positive,
    `+ops.pair_weights` of a negative), its gradient is that loss's; its value is not,
    and may rise while training does well: watch retrieval, not the loss.

    Args:
        weighting: Function of `similarities`, `positives`, `negatives`, each `(q, r)`,
            the last two booleans, that returns `(q, r)` weights; at least 0 to pull
            positives and push negatives. No gradient flows through it. To be saved
            with a model it must be registered with
            `keras.saving.register_keras_serializable`. Default: the weights of
            `MultiSimilarity`, those of the paper.
        **kwargs: `similarity`, `references`, `miner`, `average` ("anchors"), and Keras'
            `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `weighting` is not callable, or `average` is not "anchors".

    Example:

    >>> def by_distance(similarities, positives, negatives):
    ...     return keras.ops.where(positives, 1 - similarities, 1 + similarities)
    >>> model.compile("adam", loss=kerasdml.losses.WeightedPairs(weighting=by_distance))

    Source: the General Pair Weighting of Wang et al., "Multi-Similarity Loss with
    General Pair Weighting for Deep Metric Learning", CVPR 2019,
    https://arxiv.org/abs/1904.06627.
    """

    def __init__(self, *, weighting=multi_similarity_weights, **kwargs):
        super().__init__(**kwargs)
        if not callable(weighting):
            raise ValueError(
                "`weighting` must be a function of similarities, positives and "
                f"negatives. Received: weighting={weighting!r}."
            )
        if self.average != "anchors":
            raise ValueError(
                "`average` must be 'anchors': a cost of WeightedPairs may be 0 or less "
                f"while its pairs are at work. Received: average={self.average!r}."
            )
        self.weighting = weighting

    def pair_loss(self, similarities, positives, negatives):
        weights = ops.stop_gradient(
            self.weighting(ops.stop_gradient(similarities), positives, negatives)
        )
        weights = ops.where(positives, -weights, ops.where(negatives, weights, 0.0))
        return ops.einsum("qr,qr->q", weights, similarities)
