"""Symmetrical synthesis."""

import keras
from keras import ops

from kerasdml.ops import NEVER_POSITIVE, next_of_class, normalize
from kerasdml.references.base import Source
from kerasdml.references.class_ids import check_class_ids, copies_of


@keras.saving.register_keras_serializable(package="kerasdml.references")
class SymmetricalSynthesis(Source):
    """Adds mirror images of the embeddings of a class, as further negatives of others.

    Each embedding x is paired with the next of its class in the batch, the last with
    the first, and mirrored at the direction u of that one: `2 (x·u) u - x`, as long as
    x. So a class with two embeddings gets one on either side of them, and pushes others
    away beyond what it holds. The mirror images are never positives. The gradient goes
    to both embeddings. There is no randomness, and no hyperparameter; in evaluation
    they are added too.

    Args:
        name: Name of the layer.

    Raises:
        ValueError: When called, if labels are tags.

    Example:

    >>> mirrored = kerasdml.references.SymmetricalSynthesis()
    >>> loss = kerasdml.losses.Triplet(negatives="hard", references=[mirrored])

    Source: Gu and Ko, "Symmetrical Synthesis for Deep Metric Learning", AAAI 2020,
    https://arxiv.org/abs/2001.11658, where classes have two embeddings, and the hardest
    pair may be of two made-up points; here one of the two is always of the batch.
    """

    def __init__(self, *, name="symmetrical_synthesis"):
        super().__init__(name=name)

    def build(self, dim):
        """Creates nothing, whatever the size of the embeddings."""
        del dim
        self.built = True

    def call(self, batch, training=None):
        check_class_ids(self, batch.labels)
        x = batch.embeddings
        partner, _, alone = next_of_class(batch.labels)
        axis = normalize(ops.take(x, partner, axis=0))
        mirrored = 2.0 * ops.sum(x * axis, axis=1, keepdims=True) * axis - x
        found = copies_of(batch, mirrored[None], where=ops.logical_not(alone))
        return found._replace(copy_of=ops.full_like(found.copy_of, NEVER_POSITIVE))
