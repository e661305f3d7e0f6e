"""Centroid triplet loss."""

import keras
from keras import ops

from kerasdml.losses.triplet import Triplet
from kerasdml.ops import pair_masks, similarities


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class CentroidTriplet(Triplet):
    """Wants the rest of its class, on average, closer than any other class's average.

    It is `Triplet` of an anchor, the centroid p of the other examples of its class, and
    the centroid n of another class:

        loss = sum over the other classes of max(s_n - s_p + margin, 0)

    A class has one say, however many examples it has in the batch.

    Pair weight: as of `Triplet`; a centroid passes what it gets on to its examples in
    equal parts. An anchor alone in its class, or without another class, costs 0.

    Args:
        negatives: "all" (the default): every other class; "hard": the closest; or
            "semi_hard": the closest that is farther away than the positive, and if none
            is, the farthest.
        margin: By how much closer, in units of similarity, at least 0; or "soft", which
            replaces the hinge by `log(1 + exp(s_n - s_p))` ("semi_hard" and "hard").
            The authors' code: 0.5, with "hard", between Euclidean distances.
        average: "pairs" (the default) divides by the number of triplets, for "all" of
            those that cost something.
        **kwargs: `similarity`, `miner` (of centroids; not one that looks at examples),
            and Keras' `name`, `reduction`, `dtype`. References beyond the batch are
            refused: the centroids are the batch's.

    Raises:
        ValueError: If `negatives` or `margin` is none of the above, the miner looks at
            examples, or `references` are no anchors too.

    Example:

    >>> batches = kerasdml.data.balanced_batches(labels, classes=16, per_class=4)
    >>> model.compile("adam", loss=kerasdml.losses.CentroidTriplet())

    Source: Wieczorek et al., "On the Unreasonable Effectiveness of Centroids in Image
    Retrieval", ICONIP 2021, https://arxiv.org/abs/2104.13643, where the hinge is of
    squared distances: `similarity="squared_euclidean"`. The authors' code also leaves
    one example out of each other class's centroid, and takes single examples for
    negatives too; here these are whole centroids, as in the paper's formula.
    """

    needs_rows_of_references = True
    takes_tags = False
    row_wise = False

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        if self.miner and self.miner.needs_examples:
            raise ValueError(
                "CentroidTriplet compares with centroids, so its miner cannot be one "
                "that looks at the examples of a pair. "
                f"Received: miners.{type(self.miner).__name__}."
            )

    def pairs(self, anchors, references):
        embeddings, labels, rows = anchors
        same, different = pair_masks(labels, labels, ops.full_like(rows, -1))
        members = ops.cast(same, embeddings.dtype)
        count = ops.sum(members, axis=1, keepdims=True)
        total = ops.matmul(members, embeddings)
        centroids = total / ops.maximum(count, 1.0)
        of_others = (total - embeddings) / ops.maximum(count - 1.0, 1.0)
        own = ops.diagonal(similarities(embeddings, of_others, self.similarity))
        s = similarities(embeddings, centroids, self.similarity)
        s = ops.where(same, own[:, None], s)
        # A class is the column of its first example.
        earlier = ops.logical_and(same, rows[:, None] > rows)
        first = ops.logical_not(ops.any(earlier, axis=1))
        positives = ops.logical_and(ops.logical_and(same, first), count > 1.0)
        negatives = ops.logical_and(different, first)
        if self.miner:
            return s, *self.miner(ops.stop_gradient(s), positives, negatives)
        return s, positives, negatives
