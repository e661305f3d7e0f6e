"""Batch-hard mining."""

import keras

from kerasdml.miners.base import Miner
from kerasdml.ops import first_largest


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
            first_largest(-similarities, positives),
            first_largest(similarities, negatives),
        )
