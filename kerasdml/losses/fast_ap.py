"""FastAP."""

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.losses.histogram import check_bins, check_cosine
from kerasdml.ops import soft_histograms


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class FastAP(PairLoss):
    """Maximizes each anchor's average precision, by histograms of its distances.

    The squared distances of an anchor's unit vectors, 0 … 4, are counted at
    `bins + 1` nodes, each at the two next to it by how near it is to either: positives
    in h, all pairs in k, up to and including each node in H and K. With P positives:

        loss = 1 - sum over nodes of h H / K, over P

    Pair weight: what one step to the next node changes, the same for all pairs of a
    kind in one bin of their anchor.
    An anchor without positives or without negatives costs 0.

    Args:
        bins: Number of bins, at least 1. Paper: 10, in most cases.
        **kwargs: `references`, `miner`, `average` ("anchors", the default, or
            "active"), and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `bins` is below 1, or `similarity` is not "cosine".

    Example:

    >>> model.compile("adam", loss=kerasdml.losses.FastAP())

    Source: Cakir et al., "Deep Metric Learning to Rank", CVPR 2019. The mean is over
    all anchors; in the authors' code over those with positives.
    """

    def __init__(self, *, bins=10, **kwargs):
        super().__init__(**kwargs)
        self.bins = check_bins(bins)
        check_cosine(self)

    def pair_loss(self, similarities, positives, negatives):
        # Half the squared distance of unit vectors is 1 - s.
        positions = (1.0 - similarities) * (self.bins / 2.0)
        counts = soft_histograms(positions, positives, negatives, self.bins)
        h = counts[:, 0]
        up_to = ops.cumsum(counts, axis=2)
        every = up_to[:, 0] + up_to[:, 1]
        precisions = up_to[:, 0] / ops.where(every > 0.0, every, 1.0)
        count = ops.sum(ops.cast(positives, h.dtype), axis=1)
        costs = 1.0 - ops.sum(h * precisions, axis=1) / ops.maximum(count, 1.0)
        some = ops.logical_and(ops.any(positives, axis=1), ops.any(negatives, axis=1))
        return ops.where(some, costs, 0.0)
