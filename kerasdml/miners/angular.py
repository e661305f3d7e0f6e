"""Pairs of triplets that see the positive pair under a wide angle."""

import math

import keras
from keras import ops

from kerasdml.miners.base import Miner
from kerasdml.ops import normalize
from kerasdml.ops.ranking import passes


@keras.saving.register_keras_serializable(package="kerasdml.miners")
class Angular(Miner):
    """Keeps the pairs that are part of a triplet with a wide angle at its negative.

    Of unit vectors, an anchor a, a positive p and a negative n, the angle is that of

        tan(angle) = |a - p| / (2 |n - (a + p) / 2|)

    half of that under which n sees the pair, were n right across from its centre. A
    pair stays if it is part of a triplet whose angle exceeds `angle`. It is the union
    over triplets: a mask of pairs cannot say which negative goes with which positive.

    In terms of cosines `s`, with `t = tan(angle)`, a triplet has a wide angle where

        s_an + s_pn > (3 + s_ap) / 2 - (1 - s_ap) / (2 t^2)

    which is exact, and found by a matrix product for each positive of an anchor:
    nothing of size `(q, r, r)` is built. The vectors are the embeddings, scaled to unit
    length, whatever the loss's `similarity`.

    Args:
        angle: In degrees, above 0 and below 90. pytorch-metric-learning: 20.

    Raises:
        ValueError: If `angle` is out of its range.

    Example:

    >>> loss = kerasdml.losses.Contrastive(miner=kerasdml.miners.Angular(angle=30))

    Source: the miner of that name in pytorch-metric-learning,
    https://github.com/KevinMusgrave/pytorch-metric-learning, with the angle of Wang et
    al., "Deep Metric Learning with Angular Loss", ICCV 2017,
    https://arxiv.org/abs/1708.01682.
    """

    needs_examples = True

    def __init__(self, *, angle=20.0):
        if not 0 < angle < 90:
            raise ValueError(
                "`angle` must be above 0 and below 90, in degrees. "
                f"Received: angle={angle}."
            )
        self.angle = angle

    def __call__(self, similarities, positives, negatives, anchors, references):
        a = normalize(ops.stop_gradient(anchors.embeddings))
        r = normalize(ops.stop_gradient(references.embeddings))

        def add(kept, positive, _):
            """Adds the wide triplets of each anchor's one `positive`."""
            p = ops.take(r, ops.argmax(ops.cast(positive, "int32"), axis=1), axis=0)
            limit = self._limit(ops.sum(a * p, axis=1, keepdims=True))
            wide = ops.matmul(a + p, ops.transpose(r)) > limit
            wide = ops.logical_and(negatives, wide)
            wide = ops.logical_and(wide, ops.any(positive, axis=1, keepdims=True))
            some = ops.any(wide, axis=1, keepdims=True)
            return ops.where(positive, some, ops.logical_or(kept, wide))

        nothing = ops.logical_and(positives, negatives)
        most = ops.max(ops.sum(ops.cast(positives, "int32"), axis=1))
        kept = passes(add, nothing, similarities, positives, most)
        return ops.logical_and(positives, kept), ops.logical_and(negatives, kept)

    def _limit(self, s):
        """Returns what `s_an + s_pn` must exceed, by more than rounding."""
        tangent = math.tan(math.radians(self.angle))
        return (3.0 + s) / 2.0 - (1.0 - s) / (2.0 * tangent**2) + 1e-6
