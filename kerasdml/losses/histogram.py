"""Histogram loss."""

import numbers

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.ops import soft_histograms


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class Histogram(PairLoss):
    """Lowers the probability that a negative pair is closer than a positive one.

    All similarities of the batch, -1 … 1, are counted at `bins + 1` nodes, each at the
    two next to it by how near it is to either, and the counts of the positive pairs and
    of the negative pairs are scaled to histograms h+ and h- of sum 1:

        loss = sum over nodes i of h-_i * sum over nodes up to i of h+_j

    Pair weight: of a positive the share of negatives at its place, of a negative that
    of positives, each over the number of pairs of its kind.
    An anchor pays for its negatives, against the positives of the whole batch, and the
    mean of the costs is the loss. A batch without positives or negatives costs 0.

    Args:
        bins: Number of bins, at least 1. Paper: 150; the authors' code: 200;
            pytorch-metric-learning: 100. The paper finds little difference.
        **kwargs: `references`, `miner`, and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `bins` is below 1, `similarity` is not "cosine", or `average` is
            not "anchors".

    Example:

    >>> model.compile("adam", loss=kerasdml.losses.Histogram())

    Source: Ustinova and Lempitsky, "Learning Deep Embeddings with Histogram Loss",
    NIPS 2016, https://arxiv.org/abs/1611.00822.
    """

    row_wise = False  # the histograms are those of the batch

    def __init__(self, *, bins=150, **kwargs):
        super().__init__(**kwargs)
        self.bins = check_bins(bins)
        check_cosine(self)
        if self.average != "anchors":
            raise ValueError(
                "`average` must be 'anchors': the cost of an anchor is its part of one "
                f"probability. Received: average={self.average!r}."
            )

    def pair_loss(self, similarities, positives, negatives):
        positions = (1.0 + similarities) * (self.bins / 2.0)
        counts = soft_histograms(positions, positives, negatives, self.bins)
        totals = ops.sum(counts, axis=0)
        positive, negative = ops.maximum(_count(positives), 1), _count(negatives)
        closer = ops.cumsum(totals[0]) / ops.cast(positive, totals.dtype)
        costs = ops.sum(counts[:, 1] * closer, axis=1)
        anchors = ops.cast(ops.shape(costs)[0], costs.dtype)
        return costs * (anchors / ops.cast(ops.maximum(negative, 1), costs.dtype))


def check_bins(bins):
    """Returns `bins`, or raises a `ValueError` if it is no integer of at least 1."""
    if not isinstance(bins, numbers.Integral) or bins < 1:
        raise ValueError(
            f"`bins` must be an integer of at least 1. Received: bins={bins!r}."
        )
    return bins


def check_cosine(loss):
    """Raises a `ValueError` if the similarities of `loss` are not -1 … 1."""
    if loss.similarity != "cosine":
        raise ValueError(
            f"The bins of {type(loss).__name__} end at -1 and 1, so `similarity` must "
            f"be 'cosine'. Received: similarity={loss.similarity!r}."
        )


def _count(mask):
    return ops.sum(ops.cast(mask, "int32"))
