"""Triplet margin loss."""

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.ops import masked_max, masked_min, semi_hard_hinge, triplet_hinge


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class Triplet(PairLoss):
    """Wants every positive closer than every negative, by a margin.

    A triplet of an anchor, a positive p and a negative n costs
    `max(s_n - s_p + margin, 0)`, and an anchor the sum over its triplets:

    - `negatives="all"`: every positive with every negative, exactly, in the time of
      one sort (no `(q, r, r)` array is built);
    - `"semi_hard"`: every positive with the closest negative that is farther away than
      it; if none is, with the farthest negative;
    - `"hard"`: the farthest positive with the closest negative.

    Pair weight: of a positive, the number of costing triplets it is in; of a negative
    likewise. An anchor without positives or without negatives costs 0.

    Args:
        negatives: "all", "semi_hard" or "hard", as above.
        margin: By how much closer, in units of similarity, at least 0; or "soft", which
            replaces the hinge by `log(1 + exp(s_n - s_p))` ("semi_hard" and "hard").
            FaceNet's 0.2 between squared distances of unit vectors is 0.1 of cosine;
            `similarity="squared_euclidean"` has them as they are.
        swap: Whether a negative is as close as it is to the closer of anchor and
            positive ("semi_hard" and "hard"), so that a positive's own negatives push
            it too. Default: no.
        average: "pairs" (the default) divides by the number of triplets: for "all" of
            those that cost something, for "semi_hard" one a positive pair, for "hard"
            one an anchor that has a triplet.
        **kwargs: `similarity`, `references`, `miner`, and Keras' `name`, `reduction`,
            `dtype`.

    Raises:
        ValueError: If `negatives` or `margin` is none of the above, or `swap` is asked
            of all triplets or with `references`, whose negatives are not known.

    Example:

    >>> model.compile("adam", loss=kerasdml.losses.Triplet(negatives="semi_hard"))

    Source: Schroff et al., "FaceNet", CVPR 2015, https://arxiv.org/abs/1503.03832
    (semi-hard); Hermans et al., "In Defense of the Triplet Loss", 2017,
    https://arxiv.org/abs/1703.07737 (all, hard, soft). What to do without a semi-hard
    negative is as in TensorFlow Addons, whose values `similarity="euclidean",
    margin=1.0` gives on normalised embeddings. The swap is that of Balntas et al.,
    "Learning Local Feature Descriptors with Triplets", BMVC 2016.
    """

    def __init__(
        self, *, negatives="all", margin=0.1, swap=False, average="pairs", **kwargs
    ):
        self.needs_rows_of_references = swap or self.needs_rows_of_references
        super().__init__(average=average, **kwargs)
        if negatives not in ("all", "semi_hard", "hard"):
            raise ValueError(
                "`negatives` must be one of 'all', 'semi_hard' and 'hard'. "
                f"Received: negatives={negatives!r}."
            )
        if margin == "soft" and negatives == "all":
            raise ValueError(
                "`margin='soft'` needs `negatives='semi_hard'` or 'hard': over all "
                "triplets the soft margin has no form but the cubic one."
            )
        if margin != "soft" and (isinstance(margin, str) or margin < 0):
            raise ValueError(
                "`margin` must be a number of at least 0, or 'soft'. "
                f"Received: margin={margin!r}."
            )
        if swap and negatives == "all":
            raise ValueError(
                "`swap=True` needs `negatives='semi_hard'` or 'hard': over all "
                "triplets it has no form but the cubic one."
            )
        self.negatives = negatives
        self.margin = margin
        self.swap = swap

    def pair_loss(self, similarities, positives, negatives):
        return self.pair_loss_and_count(similarities, positives, negatives)[0]

    def pair_count(self, similarities, positives, negatives):
        return self.pair_loss_and_count(similarities, positives, negatives)[1]

    def pair_loss_and_count(self, similarities, positives, negatives):
        if self.negatives == "all":
            return triplet_hinge(similarities, positives, negatives, self.margin)
        if self.negatives == "semi_hard":
            pairs = similarities, positives, negatives
            return semi_hard_hinge(*pairs, self._hinge, swap=self.swap)
        farthest = masked_min(similarities, positives)
        closest = masked_max(similarities, negatives)
        if self.swap:
            partner = ops.argmin(
                ops.where(positives, similarities, float("inf")), axis=1
            )
            others = ops.take(similarities, partner, axis=0)
            closest = ops.maximum(closest, masked_max(others, negatives))
        some = ops.logical_and(ops.any(positives, axis=1), ops.any(negatives, axis=1))
        costs = self._hinge(closest - farthest)
        return ops.where(some, costs, 0.0), ops.cast(some, costs.dtype)

    def _hinge(self, violation):
        if self.margin == "soft":
            return ops.softplus(violation)
        return ops.relu(violation + self.margin)
