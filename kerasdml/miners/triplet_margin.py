"""Pairs of triplets, by how far these are from a margin."""

import keras
from keras import ops

from kerasdml.miners.base import Miner
from kerasdml.ops import triplet_counts

KINDS = ("all", "hard", "semi_hard", "easy")


@keras.saving.register_keras_serializable(package="kerasdml.miners")
class TripletMargin(Miner):
    """Keeps the pairs that are part of a triplet of some kind.

    With similarities `s` to a positive p and to a negative n, a triplet is

    - "hard" if the negative is at least as close, `s_p - s_n <= 0`;
    - "semi_hard" if it is farther, by at most the margin, `0 < s_p - s_n <= margin`;
    - "all" if it is either;
    - "easy" if it is neither.

    It is the union over triplets: a pair stays if it is part of one of them. A mask of
    pairs cannot say which negative goes with which positive, so that a loss may combine
    them otherwise; for "all" `losses.Triplet` gives exactly these triplets a cost.

    It is exact, in the time of two sorts, or of two passes for each positive of an
    anchor where these are few. Similarities that differ by less than float32 resolves
    count as equal.

    Args:
        margin: By how much a positive should be closer than a negative, in units of
            similarity, at least 0. pytorch-metric-learning: 0.2, of distances.
        triplets: "all", "hard", "semi_hard" or "easy", as above.

    Raises:
        ValueError: If `margin` is negative or `triplets` unknown.

    Example:

    >>> miner = kerasdml.miners.TripletMargin(margin=0.2, triplets="semi_hard")
    >>> loss = kerasdml.losses.MultiSimilarity(miner=miner)

    Source: the miner of that name in pytorch-metric-learning,
    https://github.com/KevinMusgrave/pytorch-metric-learning; semi-hard as in Schroff
    et al., "FaceNet", CVPR 2015, https://arxiv.org/abs/1503.03832.
    """

    def __init__(self, *, margin=0.1, triplets="all"):
        if not margin >= 0:
            raise ValueError(
                f"`margin` must not be negative. Received: margin={margin}."
            )
        if triplets not in KINDS:
            raise ValueError(
                f"`triplets` must be one of {', '.join(map(repr, KINDS))}. "
                f"Received: triplets={triplets!r}."
            )
        self.margin = margin
        self.triplets = triplets

    def __call__(self, similarities, positives, negatives):
        counts = self._counts(similarities, positives, negatives)
        some = counts > 0
        return ops.logical_and(positives, some), ops.logical_and(negatives, some)

    def _counts(self, *pairs):
        """Returns `(q, r)` in how many triplets of the kind a pair is."""
        if self.triplets == "hard":
            return triplet_counts(*pairs, 0.0)
        violating = triplet_counts(*pairs, self.margin)
        if self.triplets == "all":
            return violating
        if self.triplets == "semi_hard":
            return violating - triplet_counts(*pairs, 0.0)
        return _triplets(*pairs[1:]) - violating


def _triplets(positives, negatives):
    """Returns `(q, r)` in how many triplets a pair is."""
    of_negatives = ops.sum(ops.cast(positives, "float32"), axis=1, keepdims=True)
    of_positives = ops.sum(ops.cast(negatives, "float32"), axis=1, keepdims=True)
    return ops.where(positives, of_positives, of_negatives)
