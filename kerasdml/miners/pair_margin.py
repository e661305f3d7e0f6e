"""Pairs beyond a margin."""

import keras
from keras import ops

from kerasdml.miners.base import Miner


@keras.saving.register_keras_serializable(package="kerasdml.miners")
class PairMargin(Miner):
    """Keeps positives that are not close enough and negatives that are too close.

    A positive stays if its similarity is below `positive_margin`, a negative if it is
    above `margin`; each by itself, whatever other pairs the anchor has.

    Args:
        margin: The similarity below which a negative is far enough. The default, 0.68,
            is pytorch-metric-learning's 0.8 between unit vectors, as a cosine.
        positive_margin: The similarity above which a positive is close enough. The
            default, 0.98, is pytorch-metric-learning's 0.2 between unit vectors.

    Raises:
        ValueError: If either is not a number.

    Example:

    >>> miner = kerasdml.miners.PairMargin(margin=0.5, positive_margin=0.9)
    >>> loss = kerasdml.losses.MultiSimilarity(miner=miner)

    Source: the miner of that name in pytorch-metric-learning,
    https://github.com/KevinMusgrave/pytorch-metric-learning, where margins are
    distances.
    """

    def __init__(self, *, margin=0.68, positive_margin=0.98):
        if margin != margin or positive_margin != positive_margin:
            raise ValueError(
                "`margin` and `positive_margin` must be numbers. "
                f"Received: margin={margin}, positive_margin={positive_margin}."
            )
        self.margin = margin
        self.positive_margin = positive_margin

    def __call__(self, similarities, positives, negatives):
        return (
            ops.logical_and(positives, similarities < self.positive_margin),
            ops.logical_and(negatives, similarities > self.margin),
        )
