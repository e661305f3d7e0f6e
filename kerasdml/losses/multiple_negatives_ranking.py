"""Multiple negatives ranking loss."""

import keras
from keras import ops

from kerasdml.losses.nt_xent import NTXent
from kerasdml.ops import pair_in_order


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class MultipleNegativesRanking(NTXent):
    """Finds the partner of each anchor among the partners of all, by softmax.

    The batch is read as pairs (anchor, positive) of one class: the first and the second
    example of a class, its third and fourth, and so on, wherever they stand. With `p`
    the pair's own positive and N the positives of pairs of other classes:

        loss = -log(exp(s_p / t) / (exp(s_p / t) + sum_N exp(s_n / t)))

    `symmetric=True` averages this with the same for finding the anchor of each positive
    among all anchors.

    Pair weight: as of `NTXent`. An example without a partner takes no part; a batch
    without pairs, or of one class, costs 0.

    Args:
        symmetric: Whether positives look for anchors too.
        temperature: t, in units of similarity, > 0. The default 0.05 is the scale of 20
            of Sentence Transformers and TensorFlow Similarity. Paper: 1, on "dot".
        average: "pairs" (the default), the mean over pairs, or "anchors".
        **kwargs: `similarity`, `miner`, and Keras' `name`, `reduction`, `dtype`.
            References beyond the batch are refused: they would need partners.

    Raises:
        ValueError: If `temperature` is not positive or `references` are no anchors too.

    Example:

    >>> batches = kerasdml.data.balanced_batches(labels, classes=60, per_class=2)
    >>> model.compile("adam", loss=kerasdml.losses.MultipleNegativesRanking())

    Source: Henderson et al., "Efficient Natural Language Response Suggestion for Smart
    Reply", 2017, https://arxiv.org/abs/1705.00652. Pairs of the anchor's own class,
    which the source does not foresee, are left out of N. `NPairs` has the same softmax
    on raw dot products, with a penalty of their lengths.
    """

    needs_rows_of_references = True
    takes_tags = False

    def __init__(self, *, symmetric=False, temperature=0.05, average="pairs", **kwargs):
        super().__init__(temperature=temperature, average=average, **kwargs)
        self.symmetric = symmetric

    def cost(self, anchors, references):
        similarities, positives, negatives = self.pairs(anchors, references)
        partners, is_anchor, is_positive = pair_in_order(anchors.labels)
        others = ops.logical_and(is_anchor[:, None], is_positive)
        if self.symmetric:
            partners = ops.logical_or(partners, ops.transpose(partners))
            others = ops.logical_or(others, ops.transpose(others))
        return self.pair_cost(
            similarities,
            ops.logical_and(positives, partners),
            ops.logical_and(negatives, others),
        )
