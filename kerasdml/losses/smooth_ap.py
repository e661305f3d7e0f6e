"""Smooth average precision."""

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.ops import soft_rank_costs, with_anchor


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class SmoothAP(PairLoss):
    """Maximizes each anchor's average precision, its ranks smoothed by sigmoids.

    For the positives P and negatives N of an anchor, with
    `closer(j, p) = sigmoid((s_j - s_p) / temperature)`:

        a_p = sum_{P without p} closer(j, p)        b_p = sum_N closer(j, p)
        loss = 1 - mean over P of (1 + a_p) / (1 + a_p + b_p)

    No `(q, r, r)` array is built: the time is one pass over the pairs for each
    positive that an anchor has, of whichever class has the most.

    Pair weight: of two references that are about as close, the slope of the sigmoid
    between them, which is over beyond some temperatures, times what the order of the
    two matters for the average precision: most at the top of the list.
    An anchor without positives or without negatives costs 0.

    Args:
        temperature: Of the sigmoid, in units of similarity, > 0. Paper: 0.01.
        include_anchor: Whether the anchor is among its own positives, ranked first in
            its own list, as in the authors' and the common code; the metric, the
            paper's formula and the default leave it out.
        **kwargs: `similarity`, `references`, `miner`, `average` ("anchors", the
            default, or "active"), and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `temperature` is not positive.

    Example:

    >>> model.compile("adam", loss=kerasdml.losses.SmoothAP())

    Source: Brown et al., "Smooth-AP: Smoothing the Path Towards Large-Scale Image
    Retrieval", ECCV 2020, https://arxiv.org/abs/2007.12163. Classes may differ in size.
    """

    def __init__(self, *, temperature=0.01, include_anchor=False, **kwargs):
        super().__init__(**kwargs)
        if temperature <= 0:
            raise ValueError(
                f"`temperature` must be positive. Received: temperature={temperature}."
            )
        self.temperature = temperature
        self.include_anchor = include_anchor

    def pairs(self, anchors, references):
        similarities, positives, negatives = super().pairs(anchors, references)
        if self.include_anchor:
            rows = anchors.copy_of, references.copy_of
            positives = with_anchor(positives, *rows)
        return similarities, positives, negatives

    def pair_loss(self, similarities, positives, negatives):
        pairs = similarities, positives, negatives
        costs = soft_rank_costs(*pairs, self.temperature, _imprecision)[:, 0]
        count = ops.sum(ops.cast(positives, costs.dtype), axis=1)
        return costs / ops.maximum(count, 1.0)


def _imprecision(a, b):
    """Returns `1 - (1 + a) / (1 + a + b)` and its slopes by `a` and by `b`."""
    rank = 1.0 + a + b
    return b / rank, -b / rank**2, (1.0 + a) / rank**2
