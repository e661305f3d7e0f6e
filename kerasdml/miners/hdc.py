"""The hardest share of a batch's pairs."""

import keras
from keras import ops

from kerasdml.miners.base import Miner
from kerasdml.ops import masked_max, masked_min


@keras.saving.register_keras_serializable(package="kerasdml.miners")
class HDC(Miner):
    """Keeps the hardest share of a batch's positives, and of its negatives.

    Of n positives the `ceil(fraction * n)` farthest stay, of all the batch together,
    so that an anchor may keep none; of negatives likewise the closest. Pairs exactly as
    hard as the last that stays stay too, whatever their order in the batch.

    Args:
        fraction: The share that stays, above 0 and at most 1.
            pytorch-metric-learning: 0.5.

    Raises:
        ValueError: If `fraction` is out of its range.

    Example:

    >>> loss = kerasdml.losses.Contrastive(miner=kerasdml.miners.HDC(fraction=0.2))

    Source: Yuan et al., "Hard-Aware Deeply Cascaded Embedding", ICCV 2017,
    https://arxiv.org/abs/1611.05720, where each of several cascaded embedders gets the
    hardest pairs of the one before it. This is one such choice.
    """

    row_wise = False

    def __init__(self, *, fraction=0.5):
        if not 0 < fraction <= 1:
            raise ValueError(
                "`fraction` must be above 0 and at most 1. "
                f"Received: fraction={fraction}."
            )
        self.fraction = fraction

    def __call__(self, similarities, positives, negatives):
        return (
            _largest(-similarities, positives, self.fraction),
            _largest(similarities, negatives, self.fraction),
        )


def _largest(x, mask, fraction):
    """Selects the largest `fraction` of all `x[mask]`, with all that tie for it.

    It halves the range in which the last of them lies, in some thirty passes, until no
    number is left between the ends: a sort of all pairs takes far longer.
    """

    def reaching(limit):
        return ops.sum(ops.cast(ops.logical_and(mask, x >= limit), "int32"))

    def is_open(low, high, reached):
        middle = (low + high) / 2.0
        between = ops.logical_and(low < middle, middle < high)
        return ops.logical_and(reached > count, between)

    def halve(low, high, reached):
        middle = (low + high) / 2.0
        found = reaching(middle)
        enough = found >= count
        return (
            ops.where(enough, middle, low),
            ops.where(enough, high, middle),
            ops.where(enough, found, reached),
        )

    low, high = (f(x, mask, axis=(0, 1)) for f in (masked_min, masked_max))
    size = reaching(low)
    count = ops.cast(ops.ceil(fraction * ops.cast(size, "float32")), "int32")
    low, high, _ = ops.while_loop(is_open, halve, (low, high, size))
    least = ops.where(reaching(high) >= count, high, low)
    return ops.logical_and(mask, x >= least)
