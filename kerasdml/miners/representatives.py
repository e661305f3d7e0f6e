"""Selection of the pairs of a class's representative."""

import keras
from keras import ops

from kerasdml.miners.base import Miner


@keras.saving.register_keras_serializable(package="kerasdml.miners")
class Representatives(Miner):
    """Keeps the pairs of a representative with examples that are none.

    The first example of each class in the batch represents it, as in batches of
    `data.representative_batches`. Anchors are the representatives; of two of them, or
    of two other examples, no pair is kept. Every pair of an anchor with further
    references, such as those of a memory, is.

    An example that represents nothing has no pairs and costs 0; `average="active"` of
    the loss leaves it out of the mean.

    Args:
        miner: A further miner, which narrows the pairs that are kept, or `None`.

    Example:

    >>> miner = kerasdml.miners.Representatives()
    >>> loss = kerasdml.losses.Contrastive(miner=miner, average="active")

    Source: as of `optimizers.Proximal`.
    """

    needs_examples = True
    row_wise = False

    def __init__(self, *, miner=None):
        self.miner = miner

    @property
    def layers(self):
        return self.miner.layers if self.miner else ()

    def __call__(self, similarities, positives, negatives, anchors, references):
        first = _first_of_class(anchors.labels)[:, None]
        itself = anchors.copy_of[:, None] == references.copy_of
        represents = ops.any(ops.logical_and(first, itself), axis=0)
        pairs = ops.logical_and(first, ops.logical_not(represents))
        positives = ops.logical_and(positives, pairs)
        negatives = ops.logical_and(negatives, pairs)
        if self.miner is None:
            return positives, negatives
        seen = (anchors, references) if self.miner.needs_examples else ()
        return self.miner(similarities, positives, negatives, *seen)


def _first_of_class(labels):
    """Returns `(q,)` whether no example before it has the same label."""
    rows = ops.arange(ops.shape(labels)[0])
    before = rows[:, None] > rows
    same = labels[:, None] == labels
    return ops.logical_not(ops.any(ops.logical_and(same, before), axis=1))
