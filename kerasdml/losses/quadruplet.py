"""Quadruplet loss."""

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.ops import masked_max, masked_min


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class Quadruplet(PairLoss):
    """Wants positives closer than negatives, and than negatives of other classes.

    With p the farthest positive of an anchor, n its closest negative, and (l, k) the
    closest pair of examples of two classes that are both not the anchor's:

        loss = max(s_an - s_ap + margin, 0) + max(s_lk - s_ap + second_margin, 0)

    The first term is `Triplet(negatives="hard")`. The second makes all classes compact
    against one and the same distance between classes.

    Pair weight: of a positive 1 for each term that is not 0; of a negative 1 for each
    anchor that it is the closest of.
    An anchor without positives or without negatives costs 0; with two classes only the
    first term is left.

    Args:
        margin: By how much closer than its own negatives, in units of similarity, at
            least 0. Paper: from the mean distances of the batch; common code: 1 of
            squared distance. Default: 0.1, that of `Triplet`.
        second_margin: By how much closer than negatives of others, at least 0. Paper,
            common code and the default: half of `margin`'s.
        **kwargs: `similarity`, `miner`, `average` ("anchors", the default, or
            "active"), and Keras' `name`, `reduction`, `dtype`. References beyond the
            batch are refused: the second term compares them with one another.

    Raises:
        ValueError: If a margin is negative, or `references` are no anchors too.

    Example:

    >>> model.compile("adam", loss=kerasdml.losses.Quadruplet(margin=0.2))

    Source: Chen et al., "Beyond Triplet Loss: A Deep Quadruplet Network for Person
    Re-identification", CVPR 2017, https://arxiv.org/abs/1704.01719. The paper sums over
    all quadruplets of a similarity that is learned, and then keeps hard ones; here the
    similarity is that of the embeddings, and each anchor keeps the hardest.
    """

    needs_rows_of_references = True
    takes_tags = False  # only of classes is a negative of a negative known

    def __init__(self, *, margin=0.1, second_margin=0.05, **kwargs):
        super().__init__(**kwargs)
        if margin < 0 or second_margin < 0:
            raise ValueError(
                "`margin` and `second_margin` must not be negative. Received: "
                f"margin={margin}, second_margin={second_margin}."
            )
        self.margin = margin
        self.second_margin = second_margin

    def pair_loss(self, similarities, positives, negatives):
        farthest = masked_min(similarities, positives)
        closest = masked_max(similarities, negatives)
        of_others, others = _closest_of_others(similarities, negatives, closest)
        costs = ops.relu(closest - farthest + self.margin)
        second = ops.relu(of_others - farthest + self.second_margin)
        costs = costs + ops.where(others, second, 0.0)
        some = ops.logical_and(ops.any(positives, axis=1), ops.any(negatives, axis=1))
        return ops.where(some, costs, 0.0)


def _closest_of_others(similarities, negatives, closest):
    """Finds the closest pair of two classes that are both not the anchor's.

    Returns:
        `closest, exists`: two `(q,)`.
    """
    # Of each example: its closest negative, and its closest of a third class.
    first = ops.argmax(ops.where(negatives, similarities, float("-inf")), axis=1)
    third = ops.logical_and(negatives, ops.take(negatives, first, axis=0))
    # The second is for anchors of the class of the first.
    is_other = ops.take(negatives, first, axis=1)
    pairs = ops.where(is_other, closest, masked_max(similarities, third))
    exists = ops.logical_and(
        negatives, ops.logical_or(is_other, ops.any(third, axis=1))
    )
    return masked_max(pairs, exists), ops.any(exists, axis=1)
