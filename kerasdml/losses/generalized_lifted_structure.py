"""Generalized lifted structure loss."""

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.ops import log_sum_exp


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class GeneralizedLiftedStructure(PairLoss):
    """Compares an anchor's farthest positives with its closest negatives, smoothly.

    For an anchor at distances `D` from its positives P and negatives N:

        loss = max(log sum_P exp(D) + log sum_N exp(margin - D), 0)

    Pair weight: while the hinge is open, a softmax of the distance over P, and of minus
    the distance over N; each adds up to 1. An anchor without positives or without
    negatives costs 0.

    Args:
        margin: The distance by which the closest negative shall be farther than the
            farthest positive, in units of distance, but for the logarithms of their
            numbers. pytorch-metric-learning: 1, the default; there it is
            `neg_margin - pos_margin`.
        similarity: "euclidean" (the default), on embeddings as they come. On unit
            vectors distances end at 2 and the hinge hardly ever closes.
        **kwargs: `references`, `miner`, `average` ("anchors", the default, or
            "active"), and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `average` is "pairs".

    Example:

    >>> embedder = kerasdml.models.Embedder("conv4", dim=64, normalize=False)
    >>> model = kerasdml.MetricModel(embedder, similarity="euclidean")
    >>> model.compile("adam", loss=kerasdml.losses.GeneralizedLiftedStructure())

    Source: Hermans et al., "In Defense of the Triplet Loss for Person
    Re-Identification", 2017, https://arxiv.org/abs/1703.07737, after Oh Song et al.,
    CVPR 2016, whose `LiftedStructure` takes pairs of positives and squares the hinge.
    pytorch-metric-learning charges an anchor without positives for its negatives, and
    one without negatives for its positives, and normalises embeddings.
    """

    def __init__(self, *, margin=1.0, similarity="euclidean", **kwargs):
        super().__init__(similarity=similarity, **kwargs)
        self.margin = margin

    def pair_loss(self, similarities, positives, negatives):
        pull = log_sum_exp(-similarities, positives)
        push = log_sum_exp(self.margin + similarities, negatives)
        both = ops.logical_and(ops.any(positives, axis=1), ops.any(negatives, axis=1))
        return ops.where(both, ops.relu(pull + push), 0.0)
