"""Multi-class N-pair loss."""

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.ops import cross_entropies, pair_in_order, safe_sqrt

MODES = ("mc", "ovo")
L2_FORMS = ("quarter", "half", "whole", "length")


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class NPairs(PairLoss):
    """Tells the positive of a pair from the positives of all other pairs.

    The batch is read as pairs (anchor, positive) of one class: the first and the second
    example of a class, its third and fourth, and so on, wherever they stand. With `p`
    the pair's own positive and N the positives of pairs of other classes:

        mc:   log(1 + sum_N exp(s_n - s_p))
        ovo:  sum_N log(1 + exp(s_n - s_p))
        loss = that, averaged over the pairs
             + l2_weight / 4 * (mean |anchor|^2 + mean |positive|^2)

    Pair weight: of a negative, for mc its share of the softmax over N and p, for ovo
    that of the softmax over the two; of the positive, the sum of those. An example
    without a partner takes no part; a batch without pairs costs 0, and with one class
    alone only the last term is left.

    Args:
        mode: "mc" (multi-class, the default), all negatives against the positive at
            once, or "ovo" (one versus one), each by itself. The paper has both; mc did
            better. With one negative they agree.
        l2_weight: Weight of the embeddings' lengths, at least 0, which keeps raw dot
            products from growing. TensorFlow's `npairs_loss`: 0.002; elsewhere 0.005 …
            0.02; the paper's is unverified.
        l2_form: What it is the weight of. "quarter" (the default), as above, of
            TensorFlow's `npairs_loss`; "half", twice that, of a Chainer reproduction;
            "whole", four times that, of several in PyTorch; "length", the mean of
            |anchor| and |positive|, not squared, of "Revisiting Deep Metric Learning".
            For vectors of length 1 they are 1/2, 1, 2 and 1.
        similarity: "dot" (the default), on embeddings that are not normalised, as in
            the paper. On unit vectors the loss cannot come near 0.
        average: "pairs" (the default), the mean over pairs, or "anchors".
        **kwargs: `miner`, and Keras' `name`, `reduction`, `dtype`. References beyond
            the batch are refused: they would need partners.

    Raises:
        ValueError: If `mode` or `l2_form` is none of the above, `l2_weight` is
            negative, `average` is "active", or `references` are no anchors too.

    Example:

    >>> batches = kerasdml.data.balanced_batches(labels, classes=60, per_class=2)
    >>> embedder = kerasdml.models.Embedder("conv4", dim=64, normalize=False)
    >>> model = kerasdml.MetricModel(embedder)  # in the end compared by cosine
    >>> model.compile("adam", loss=kerasdml.losses.NPairs())

    Source: Sohn, "Improved Deep Metric Learning with Multi-class N-pair Loss
    Objective", NIPS 2016. Where a class has several pairs, which the paper excludes,
    pairs of the same class are left out of N. The paper's batches of classes that are
    hard to tell apart are `data.hard_class_batches`.
    """

    needs_rows_of_references = True
    takes_tags = False

    def __init__(
        self,
        *,
        mode="mc",
        l2_weight=0.002,
        l2_form="quarter",
        similarity="dot",
        average="pairs",
        **kwargs,
    ):
        super().__init__(similarity=similarity, average=average, **kwargs)
        if mode not in MODES:
            raise ValueError(f"`mode` must be 'mc' or 'ovo'. Received: mode={mode!r}.")
        if l2_form not in L2_FORMS:
            raise ValueError(
                "`l2_form` must be one of 'quarter', 'half', 'whole' and 'length'. "
                f"Received: l2_form={l2_form!r}."
            )
        if l2_weight < 0:
            raise ValueError(
                f"`l2_weight` must not be negative. Received: l2_weight={l2_weight}."
            )
        if average == "active":
            raise ValueError(
                "`average` must be 'pairs' or 'anchors': the second term of NPairs "
                "makes every pair active. Received: average='active'."
            )
        self.mode = mode
        self.l2_weight = l2_weight
        self.l2_form = l2_form

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
        # There are two paired examples a pair, and `costs` average to a mean.
        share = ops.cast(ops.shape(paired)[0], costs.dtype) / ops.maximum(
            ops.sum(paired), 1.0
        )
        return costs + self.l2_weight * share * paired * self._l2(anchors.embeddings)

    def pair_loss(self, similarities, positives, negatives):
        if self.mode == "ovo":
            return _one_versus_one(similarities, positives, negatives)
        return cross_entropies(similarities, similarities, positives, negatives)

    def pair_count(self, similarities, positives, negatives):
        return ops.sum(ops.cast(positives, similarities.dtype), axis=1)

    def _l2(self, embeddings):
        """Returns `(q,)`, whose mean over the paired examples is what has a weight."""
        squares = ops.sum(embeddings**2, axis=1)
        if self.l2_form == "length":
            return safe_sqrt(squares, scale=0.0)
        return {"quarter": 0.5, "half": 1.0, "whole": 2.0}[self.l2_form] * squares


def _one_versus_one(similarities, positives, negatives):
    """Sums `log(1 + exp(s_n - s_p))` over the negatives of anchors of one positive."""
    own = ops.sum(ops.where(positives, similarities, 0.0), axis=1, keepdims=True)
    some = ops.logical_and(negatives, ops.any(positives, axis=1, keepdims=True))
    return ops.sum(ops.where(some, ops.softplus(similarities - own), 0.0), axis=1)
