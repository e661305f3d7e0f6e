"""Neighbourhood components analysis."""

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.ops import log_sum_exp


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class NCA(PairLoss):
    """Makes a neighbour drawn by softmax of the similarities one of the same class.

    For an anchor with positives P and negatives N:

        loss = -log(sum_P exp(s / t) / sum_{P and N} exp(s / t))

    Pair weight: of a negative, its share of the softmax over P and N, over t; of a
    positive, its share of the softmax over P alone, less that, so the closest positive
    is pulled most, and the far ones may stay. An anchor without positives or without
    negatives costs 0.

    Args:
        temperature: t, in units of similarity, > 0. The default 0.05 is Wu et al.'s,
            on cosines. The original's, on squared distances, is 1: on unit vectors
            those are `2 - 2 s`, so there it is `temperature=0.5`.
        **kwargs: `similarity`, `references`, `miner`, `average` ("active" is
            pytorch-metric-learning's), and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `temperature` is not positive.

    Example:

    >>> model.compile("adam", loss=kerasdml.losses.NCA())

    Source: Goldberger et al., "Neighbourhood Components Analysis", NIPS 2004, its
    logarithmic objective; Wu et al., "Improving Generalization via Scalable
    Neighborhood Component Analysis", ECCV 2018, https://arxiv.org/abs/1808.04699.
    On squared distances of embeddings that are not normalised: `SoftNearestNeighbor`.
    """

    def __init__(self, *, temperature=0.05, **kwargs):
        super().__init__(**kwargs)
        if temperature <= 0:
            raise ValueError(
                f"`temperature` must be positive. Received: temperature={temperature}."
            )
        self.temperature = temperature

    def pair_loss(self, similarities, positives, negatives):
        logits = similarities / self.temperature
        excess = log_sum_exp(logits, negatives) - log_sum_exp(logits, positives)
        some = ops.logical_and(ops.any(positives, axis=1), ops.any(negatives, axis=1))
        return ops.where(some, ops.softplus(excess), 0.0)
