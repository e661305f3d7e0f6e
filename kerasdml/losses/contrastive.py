"""Contrastive loss."""

import keras
from keras import ops

from kerasdml.losses.base import PairLoss


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class Contrastive(PairLoss):
    """Pulls every positive to one similarity and pushes every negative below another.

    For an anchor with similarities `s` to its positives P and negatives N:

        loss = sum_P max(positive_margin - s, 0) + sum_N max(s - margin, 0)

    Pair weight: 1 for a positive below `positive_margin` and for a negative above
    `margin`, else 0. An anchor without pairs costs 0.

    Args:
        margin: The similarity below which a negative is far enough.
        positive_margin: The similarity above which a positive is close enough; above
            `margin`. The default, 1, pulls for ever, as in the paper.
        **kwargs: `similarity`, `references`, `miner`, `average` ("pairs" divides by the
            pairs that still cost something), and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `positive_margin` is not above `margin`.

    Example:

    >>> model.compile("adam", loss=kerasdml.losses.Contrastive())

    Source: Hadsell et al., "Dimensionality Reduction by Learning an Invariant Mapping",
    CVPR 2006. The paper squares distances and hinges; this is the linear form on
    similarities of Wang et al., CVPR 2019, https://arxiv.org/abs/1904.06627. For
    distances instead, `similarity="euclidean", margin=-1.0, positive_margin=0.0`.
    """

    def __init__(self, *, margin=0.5, positive_margin=1.0, **kwargs):
        super().__init__(**kwargs)
        if positive_margin <= margin:
            raise ValueError(
                "`positive_margin` must be above `margin`. "
                f"Received: positive_margin={positive_margin}, margin={margin}."
            )
        self.margin = margin
        self.positive_margin = positive_margin

    def pair_loss(self, similarities, positives, negatives):
        pull = ops.relu(self.positive_margin - similarities)
        push = ops.relu(similarities - self.margin)
        costs = ops.where(positives, pull, ops.where(negatives, push, 0.0))
        return ops.sum(costs, axis=1)

    def pair_count(self, similarities, positives, negatives):
        pulled = ops.logical_and(positives, similarities < self.positive_margin)
        pushed = ops.logical_and(negatives, similarities > self.margin)
        active = ops.logical_or(pulled, pushed)
        return ops.sum(ops.cast(active, similarities.dtype), axis=1)
