"""Smooth average precision."""

import keras

from kerasdml.losses.soft_rank import SoftRankLoss


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class SmoothAP(SoftRankLoss):
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

    def rank_cost(self, a, b):
        rank = 1.0 + a + b
        return b / rank, -b / rank**2, (1.0 + a) / rank**2
