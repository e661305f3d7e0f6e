"""Embedding expansion."""

import keras
from keras import ops

from kerasdml.ops import NEVER_POSITIVE, next_of_class, normalize
from kerasdml.references.base import Source
from kerasdml.references.class_ids import check_class_ids, copies_of
from kerasdml.references.counts import check_count


@keras.saving.register_keras_serializable(package="kerasdml.references")
class EmbeddingExpansion(Source):
    """Adds points between the embeddings of a class, as further negatives of others.

    Each embedding is paired with the next of its class in the batch, the last with the
    first, and the line between them is cut into `points + 1` equal parts. What lies
    between two of a class is nearer to another class than both may be: with a loss of
    hard negatives, such as `losses.Triplet(negatives="hard")`, this is the paper's
    mining of the hardest negative pair. The points are never positives. The gradient
    goes to the embeddings that they lie between. There is no randomness; in evaluation
    they are added too.

    Args:
        points: Points on each line, at least 1. Paper: 2.
        normalize: Whether embeddings are scaled to length 1 before, and points after
            it. Paper: yes, where the loss compares embeddings of length 1.
        name: Name of the layer.

    Raises:
        ValueError: If `points` is below 1; when called, if labels are tags.

    Example:

    >>> between = kerasdml.references.EmbeddingExpansion()
    >>> loss = kerasdml.losses.Triplet(negatives="hard", references=[between])

    Source: Ko and Gu, "Embedding Expansion: Augmentation in Embedding Space for Deep
    Metric Learning", CVPR 2020, https://arxiv.org/abs/2003.02546. There the hardest
    pair may be of two made-up points; here one of the two is always of the batch. The
    authors' code pairs neighbouring rows and makes the points of a pair twice.
    """

    def __init__(self, *, points=2, normalize=True, name="embedding_expansion"):
        super().__init__(name=name)
        self.points = check_count("points", points, 1)
        self.normalize = normalize

    def build(self, dim):
        """Creates nothing, whatever the size of the embeddings."""
        del dim
        self.built = True

    def call(self, batch, training=None):
        check_class_ids(self, batch.labels)
        x = normalize(batch.embeddings) if self.normalize else batch.embeddings
        partner, again, alone = next_of_class(batch.labels)
        parts = ops.arange(1, self.points + 1, dtype=x.dtype) / (self.points + 1)
        parts = parts[:, None, None]
        between = (1.0 - parts) * x + parts * ops.take(x, partner, axis=0)
        if self.normalize:
            between = normalize(between)
        new = ops.logical_not(ops.logical_or(again, alone))
        found = copies_of(batch, between, where=new)
        return found._replace(copy_of=ops.full_like(found.copy_of, NEVER_POSITIVE))
