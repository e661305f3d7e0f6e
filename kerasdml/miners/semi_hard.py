"""Semi-hard pairs."""

import keras

from kerasdml.miners.base import Miner
from kerasdml.ops import semi_hard_pairs


@keras.saving.register_keras_serializable(package="kerasdml.miners")
class SemiHard(Miner):
    """Keeps positives with the closest negative that is farther away than they are.

    A positive that has such a negative stays, and so do these negatives. It is the
    union over triplets: a mask of pairs cannot say which negative goes with which
    positive, so that a loss may combine them otherwise. For the triplets themselves
    take `losses.Triplet(negatives="semi_hard")`.

    It is exact, in the time of one sort, or of a pass for each positive of an anchor
    where these are few. Similarities that differ by less than float32 resolves count
    as equal.

    Example:

    >>> loss = kerasdml.losses.Contrastive(miner=kerasdml.miners.SemiHard())

    Source: Schroff et al., "FaceNet", CVPR 2015, https://arxiv.org/abs/1503.03832. A
    positive without a farther negative is left out; `Triplet` takes the farthest of
    all, as TensorFlow Addons does. With a margin: `TripletMargin`.
    """

    def __call__(self, similarities, positives, negatives):
        return semi_hard_pairs(similarities, positives, negatives)
