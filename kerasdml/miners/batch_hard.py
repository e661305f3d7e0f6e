"""Batch-hard mining."""

import keras
from keras import ops

from kerasdml.miners.base import Miner


@keras.saving.register_keras_serializable(package="kerasdml.miners")
class BatchHard(Miner):
    """Keeps each anchor's farthest positive and closest negative.

    Of equally hard ones the first is kept. An anchor without positives keeps its
    hardest negative, and the other way round.

    Example:

    >>> loss = kerasdml.losses.Contrastive(miner=kerasdml.miners.BatchHard())

    Source: Hermans et al., "In Defense of the Triplet Loss for Person
    Re-Identification", 2017, https://arxiv.org/abs/1703.07737.
    """

    def __call__(self, similarities, positives, negatives):
        return (
            _closest(-similarities, positives),
            _closest(similarities, negatives),
        )


def _closest(similarities, mask):
    """Selects the one largest of `similarities[mask]` in each row."""
    lowest = ops.min(similarities, axis=1, keepdims=True) - 1.0
    best = ops.argmax(ops.where(mask, similarities, lowest), axis=1)
    columns = ops.arange(ops.shape(similarities)[1], dtype=best.dtype)
    return ops.logical_and(mask, columns == best[:, None])
