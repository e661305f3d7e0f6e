"""The mining step of the Multi-Similarity loss."""

import keras
from keras import ops

from kerasdml.miners.base import Miner
from kerasdml.ops import masked_max, masked_min


@keras.saving.register_keras_serializable(package="kerasdml.miners")
class MultiSimilarity(Miner):
    """Keeps the pairs that are hard relative to the anchor's pairs of the other kind.

    A negative stays if it is closer than the farthest positive, less `epsilon`; a
    positive stays if it is farther than the closest negative, plus `epsilon`. An anchor
    without positives or without negatives keeps nothing.

    Args:
        epsilon: How much easier than the hardest pair of the other kind a pair may be,
            in units of similarity, at least 0. Paper and the authors' code: 0.1.

    Raises:
        ValueError: If `epsilon` is negative.

    Example:

    >>> loss = losses.MultiSimilarity(miner=miners.MultiSimilarity())

    Source: Wang et al., "Multi-Similarity Loss with General Pair Weighting for
    Deep Metric Learning", CVPR 2019, https://arxiv.org/abs/1904.06627. The authors'
    code tells an example from itself by a similarity below 1 - 1e-5, which also drops
    duplicates; here the position in the batch tells.
    """

    def __init__(self, *, epsilon=0.1):
        if epsilon < 0:
            raise ValueError(
                f"`epsilon` must not be negative. Received: epsilon={epsilon}."
            )
        self.epsilon = epsilon

    def __call__(self, similarities, positives, negatives):
        farthest = masked_min(similarities, positives, keepdims=True)
        closest = masked_max(similarities, negatives, keepdims=True)
        both = ops.logical_and(
            ops.any(positives, axis=-1, keepdims=True),
            ops.any(negatives, axis=-1, keepdims=True),
        )
        hard_positives = ops.logical_and(both, similarities < closest + self.epsilon)
        hard_negatives = ops.logical_and(both, similarities > farthest - self.epsilon)
        return (
            ops.logical_and(positives, hard_positives),
            ops.logical_and(negatives, hard_negatives),
        )
