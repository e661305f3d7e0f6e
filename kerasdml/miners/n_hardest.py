"""The n hardest pairs of each anchor."""

import keras
from keras import ops

from kerasdml.miners.base import Miner
from kerasdml.ops import first_largest


@keras.saving.register_keras_serializable(package="kerasdml.miners")
class NHardest(Miner):
    """Keeps each anchor's n farthest positives and n closest negatives.

    Of equally hard ones the first are kept. An anchor that has fewer keeps them all.
    One of each is what `BatchHard` keeps.

    Args:
        positives: How many positives an anchor keeps, at least 1. Every one takes a
            pass over the similarities.
        negatives: How many negatives, likewise.

    Raises:
        ValueError: If either is below 1.

    Example:

    >>> loss = kerasdml.losses.Triplet(miner=kerasdml.miners.NHardest(negatives=5))

    Source: the miner of that name in OML, https://github.com/OML-Team/open-metric-learning,
    where the two numbers have no defaults.
    """

    def __init__(self, *, positives=3, negatives=3):
        if positives < 1 or negatives < 1:
            raise ValueError(
                "`positives` and `negatives` must be at least 1. "
                f"Received: positives={positives}, negatives={negatives}."
            )
        self.positives = positives
        self.negatives = negatives

    def __call__(self, similarities, positives, negatives):
        return (
            _largest(-similarities, positives, self.positives),
            _largest(similarities, negatives, self.negatives),
        )


def _largest(x, mask, count):
    """Selects the `count` largest of each row's `x[mask]`, of equal ones the first."""

    def add(_, kept):
        rest = ops.logical_and(mask, ops.logical_not(kept))
        return ops.logical_or(kept, first_largest(x, rest))

    return ops.fori_loop(0, count, add, ops.zeros_like(mask))
