"""The hardest share of a batch's pairs."""

import keras
from keras import ops

from kerasdml.miners.base import Miner


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
    """Selects the largest `fraction` of all `x[mask]`, with all that tie for it."""
    count = ops.sum(ops.cast(mask, "float32"))
    ranked = ops.sort(ops.reshape(ops.where(mask, -x, float("inf")), (-1,)))
    last = ops.cast(ops.ceil(fraction * count), "int32") - 1
    least = -ops.take(ranked, ops.maximum(last, 0))
    return ops.logical_and(mask, x >= least)
