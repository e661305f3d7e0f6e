"""Margin loss."""

import keras
from keras import ops

from kerasdml.layers import Boundaries
from kerasdml.losses.base import PairLoss, per
from kerasdml.ops import check_classes, safe_sqrt


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class Margin(PairLoss):
    """Wants positives within a learned distance and negatives beyond it, by a margin.

    With `d` the Euclidean distances of an anchor, scaled to length 1 like all others,
    to its positives P and negatives N, and `b` the boundary of its class:

        loss = sum_P max(d - b + margin, 0)
             + sum_N max(b - d + margin, 0)  +  nu * |P| * b

    Pair weight, per unit of distance: 1 for a positive farther than `b - margin` and a
    negative closer than `b + margin`, else 0. The boundary falls by the former and
    rises by the latter. An anchor without pairs costs 0.

    Args:
        margin: Half the gap between positives and negatives, in units of distance
            (0 … 2), at least 0. Paper: 0.2.
        boundary: The distance that boundaries start at, above 0 and below 2. Paper:
            1.2, the authors' code too.
        num_classes: Number of classes, at least 2, that have a boundary each, as in the
            authors' code; labels are then 0 … num_classes - 1, or -1. `None`, the
            default, trains one that all classes share, for any labels.
        learn_boundaries: Whether boundaries are trained, as in the paper.
        nu: Weight of the boundaries, at least 0: at rest, so much the more positives
            than negatives cost, as a share of all positives. The authors' code: 0.
        average: "pairs" (the default, as in the authors' code) divides by the pairs
            that cost something.
        **kwargs: `references`, `miner`, and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If an argument is out of its range, or `similarity` is given and not
            "cosine".

    Example:

    >>> miner = kerasdml.miners.DistanceWeighted()
    >>> model.compile("adam", loss=kerasdml.losses.Margin(miner=miner))

    Keep boundaries out of weight decay:
    `optimizer.exclude_from_weight_decay(var_names=["boundaries"])`.

    Source: Wu et al., "Sampling Matters in Deep Embedding Learning", ICCV 2017,
    https://arxiv.org/abs/1706.07567. The paper's boundaries are a sum of one for all,
    one a class and one an image; the authors' code has one a class. Their code counts
    `nu * b` once a triplet, of which an anchor has `|P|`.
    """

    def __init__(
        self,
        *,
        margin=0.2,
        boundary=1.2,
        num_classes=None,
        learn_boundaries=True,
        nu=0.0,
        average="pairs",
        **kwargs,
    ):
        super().__init__(average=average, **kwargs)
        if margin < 0 or nu < 0 or not 0 < boundary < 2:
            raise ValueError(
                "`margin` and `nu` must not be negative and `boundary` must be above 0 "
                "and below 2, the largest distance of unit vectors. "
                f"Received: margin={margin}, nu={nu}, boundary={boundary}."
            )
        if self.similarity != "cosine":
            raise ValueError(
                "`similarity` must be 'cosine': Margin works on Euclidean distances of "
                "unit vectors, which follow from cosines. "
                f"Received: similarity={self.similarity!r}."
            )
        self.margin = margin
        self.boundary = boundary
        self.learn_boundaries = learn_boundaries
        self.nu = nu
        self.boundaries = Boundaries(
            num_classes=num_classes, initial=boundary, learned=learn_boundaries
        )
        self.num_classes = self.boundaries.num_classes
        self.takes_tags = num_classes is None

    @property
    def layers(self):
        return [self.boundaries, *super().layers]

    def check_labels(self, labels):
        super().check_labels(labels)
        if self.num_classes:
            check_classes(labels, self.num_classes)

    def cost(self, anchors, references):
        cosines, positives, negatives = self.pairs(anchors, references)
        distances = safe_sqrt(2.0 - 2.0 * cosines, 2.0)
        boundaries = ops.cast(self.boundaries.of(anchors.labels), distances.dtype)
        pairs = boundaries - distances, positives, negatives
        positive_count = ops.sum(ops.cast(positives, distances.dtype), axis=1)
        costs = self.pair_loss(*pairs) + self.nu * boundaries[:, 0] * positive_count
        if self.average != "pairs":
            return costs
        return per(ops.sum(self.pair_count(*pairs)), costs)

    def pair_loss(self, similarities, positives, negatives):
        """Returns `(q,)` costs of `similarities`: how much closer than the boundary."""
        pull = ops.relu(self.margin - similarities)
        push = ops.relu(self.margin + similarities)
        costs = ops.where(positives, pull, ops.where(negatives, push, 0.0))
        return ops.sum(costs, axis=1)

    def pair_count(self, similarities, positives, negatives):
        pulled = ops.logical_and(positives, similarities < self.margin)
        pushed = ops.logical_and(negatives, similarities > -self.margin)
        active = ops.logical_or(pulled, pushed)
        return ops.sum(ops.cast(active, similarities.dtype), axis=1)
