"""Multi-class N-pair loss."""

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.ops import log_sum_exp, pair_in_order


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class NPairs(PairLoss):
    """Tells the positive of a pair from the positives of all other pairs, by softmax.

    The batch is read as pairs (anchor, positive) of one class: the first and the second
    example of a class, its third and fourth, and so on, wherever they stand. With `p`
    the pair's own positive and N the positives of pairs of other classes:

        loss = log(1 + sum_N exp(s_n - s_p)), averaged over the pairs
             + l2_weight / 4 * (mean |anchor|^2 + mean |positive|^2)

    Pair weight: of a negative, its share of the softmax over N and p; of the positive,
    the sum of those. An example without a partner takes no part; a batch without pairs
    costs 0, and with one class alone only the second term is left.

    Args:
        l2_weight: Weight of the embeddings' squared lengths, at least 0, which keeps
            raw dot products from growing. TensorFlow's `npairs_loss`: 0.002, with the
            same factor 1/4; other code has other factors.
        similarity: "dot" (the default), on embeddings that are not normalised, as in
            the paper. On unit vectors the loss cannot come near 0.
        average: "pairs" (the default), the mean over pairs, or "anchors".
        **kwargs: `miner`, and Keras' `name`, `reduction`, `dtype`. References beyond
            the batch are refused: they would need partners.

    Raises:
        ValueError: If `l2_weight` is negative, `average` is "active", or `references`
            are given.

    Example:

    >>> batches = kerasdml.data.balanced_batches(labels, classes=60, per_class=2)
    >>> embedder = kerasdml.models.Embedder("conv4", dim=64, normalize=False)
    >>> model = kerasdml.MetricModel(embedder, similarity="dot")
    >>> model.compile("adam", loss=kerasdml.losses.NPairs())

    Source: Sohn, "Improved Deep Metric Learning with Multi-class N-pair Loss
    Objective", NIPS 2016 (the form N-pair-mc). Where a class has several pairs, which
    the paper excludes, pairs of the same class are left out of N.
    """

    needs_rows_of_references = True
    takes_tags = False

    def __init__(self, *, l2_weight=0.002, similarity="dot", average="pairs", **kwargs):
        super().__init__(similarity=similarity, average=average, **kwargs)
        if l2_weight < 0:
            raise ValueError(
                f"`l2_weight` must not be negative. Received: l2_weight={l2_weight}."
            )
        if average == "active":
            raise ValueError(
                "`average` must be 'pairs' or 'anchors': the second term of NPairs "
                "makes every pair active. Received: average='active'."
            )
        self.l2_weight = l2_weight

    def cost(self, anchors, references):
        similarities, positives, negatives = self.pairs(anchors, references)
        partners, is_anchor, is_positive = pair_in_order(anchors.labels)
        others = ops.logical_and(is_anchor[:, None], is_positive)
        costs = self.pair_cost(
            similarities,
            ops.logical_and(positives, partners),
            ops.logical_and(negatives, others),
        )
        paired = ops.cast(ops.logical_or(is_anchor, is_positive), costs.dtype)
        lengths = paired * ops.sum(anchors.embeddings**2, axis=1)
        # There are two paired examples a pair, and `costs` average to a mean.
        share = ops.cast(ops.shape(paired)[0], costs.dtype) / ops.maximum(
            ops.sum(paired), 1.0
        )
        return costs + self.l2_weight / 2.0 * share * lengths

    def pair_loss(self, similarities, positives, negatives):
        push = log_sum_exp(similarities, negatives)[:, None] - similarities
        some = ops.logical_and(positives, ops.any(negatives, axis=1)[:, None])
        return ops.sum(ops.where(some, ops.softplus(push), 0.0), axis=1)

    def pair_count(self, similarities, positives, negatives):
        return ops.sum(ops.cast(positives, similarities.dtype), axis=1)
