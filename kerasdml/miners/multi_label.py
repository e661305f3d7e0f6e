"""Selection of triplets among examples that share some of their tags."""

import keras
from keras import ops

from kerasdml.miners.base import Miner
from kerasdml.ops import masked_max, masked_min, pair_masks, tag_similarities
from kerasdml.ops.distances import distances
from kerasdml.ops.masks import known


@keras.saving.register_keras_serializable(package="kerasdml.miners")
class MultiLabel(Miner):
    """Keeps a few triplets of examples with tags: relevant, hard and diverse ones.

    First it chooses anchors that are far from one another: the one farthest from all
    others on average, then again and again the one whose closest chosen anchor is
    farthest away. Then each anchor picks positives, and likewise negatives, one after
    the other, by the largest of

        relevance * r + hardness * h + diversity * v

    where of a positive `r` is the Jaccard similarity of its tags to the anchor's and
    `h` its distance from the anchor, scaled to 0 … 1 over all examples; of a negative
    both are 1 less that. `v` is the distance from the closest that is picked already,
    over the largest distance in the batch, and 0 for the first. Of equal ones the one
    that comes first in the batch is picked, and of copies one is an anchor.

    They are picked among the loss's positives and negatives, by its `positive_at` and
    `negative_at`. An anchor without any takes the most similar of what is no negative,
    or the least similar of what is no positive; one that still lacks either, or would
    have the same example as both, keeps nothing, as do all that are no anchors.

    Distances are Euclidean, of the embeddings as they come. The work is a few products
    of the batch with itself, while triplets are at most q / 4 * 2 * 2.

    Args:
        anchors: Share of the batch that become anchors, rounded, at least one; above 0,
            at most 1.
        positives: How many positives an anchor picks, at least 1.
        negatives: How many negatives an anchor picks, at least 1.
        relevance: Weight of the similarity of tags, at least 0.
        hardness: Weight of the distance from the anchor, at least 0.
        diversity: Weight of the distance from what is picked already, at least 0.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> miner = kerasdml.miners.MultiLabel()
    >>> loss = losses.Triplet(miner=miner, similarity="squared_euclidean", margin=0.5)
    >>> model.fit(images, tags)  # tags (n, l), 0 or 1

    Source: Sumbul et al., "Informative and Representative Triplet Selection for
    Multi-Label Remote Sensing Image Retrieval", TGRS 2021,
    https://arxiv.org/abs/2105.03647. A reconstruction: the paper's two steps, and its
    criteria, are these; how they are measured, added up and fallen back from, and every
    default, is assumed here. The loss above sums the triplets and divides by those that
    cost something.
    """

    needs_examples = True
    row_wise = False

    def __init__(
        self,
        *,
        anchors=0.25,
        positives=2,
        negatives=2,
        relevance=1.0,
        hardness=1.0,
        diversity=1.0,
    ):
        if not 0 < anchors <= 1:
            raise ValueError(
                "`anchors`, a share of the batch, must be above 0 and at most 1. "
                f"Received: anchors={anchors}."
            )
        if positives < 1 or negatives < 1:
            raise ValueError(
                "`positives` and `negatives` must be at least 1. "
                f"Received: positives={positives}, negatives={negatives}."
            )
        if min(relevance, hardness, diversity) < 0:
            raise ValueError(
                "`relevance`, `hardness` and `diversity` must not be negative. "
                f"Received: relevance={relevance}, hardness={hardness}, "
                f"diversity={diversity}."
            )
        self.anchors = anchors
        self.positives = positives
        self.negatives = negatives
        self.relevance = relevance
        self.hardness = hardness
        self.diversity = diversity

    def __call__(self, similarities, positives, negatives, anchors, references):
        del similarities  # of any kind; here distances are Euclidean
        x = ops.stop_gradient(references.embeddings)
        far = distances(ops.stop_gradient(anchors.embeddings), x)
        others = _others(anchors, references)
        alike = ops.cast(_alike(anchors.labels, references.labels), far.dtype)
        positives, negatives = _pools(alike, positives, negatives, others)

        hard = _scaled(far, others)
        pulls = self.relevance * alike + self.hardness * hard
        pushes = self.relevance * (1.0 - alike) + self.hardness * (1.0 - hard)
        # What is added to a score a unit of distance from what is picked already.
        largest = ops.max(ops.where(others, far, 0.0))
        spread = self.diversity / ops.where(largest > 0.0, largest, 1.0)
        chosen = _diverse(anchors, self.anchors)[:, None]
        return (
            ops.logical_and(
                chosen, _picked(pulls, positives, x, spread, self.positives)
            ),
            ops.logical_and(
                chosen, _picked(pushes, negatives, x, spread, self.negatives)
            ),
        )


def _diverse(examples, share):
    """Selects a share of the batch, examples far from one another: `(q,)`."""
    x = ops.stop_gradient(examples.embeddings)
    far, some = distances(x, x), known(examples.labels)
    places = ops.arange(ops.shape(far)[0], dtype="int32")
    count = ops.round(share * ops.cast(ops.shape(far)[0], "float32"))

    def add(_, state):
        chosen, closest = state
        left = ops.logical_and(some, ops.logical_not(chosen))
        gain = ops.where(left, closest, 0.0)
        best = _argmax(gain)
        added = ops.logical_and(places == best, gain > 0.0)
        closest = ops.minimum(closest, ops.take(far, best, axis=0))
        return ops.logical_or(chosen, added), closest

    sums = ops.sum(ops.where(some, far, 0.0), axis=1)
    first = _argmax(ops.where(some, sums, -1.0))
    state = ops.logical_and(places == first, some), ops.take(far, first, axis=0)
    return ops.fori_loop(1, ops.cast(count, "int32"), add, state)[0]


def _picked(scores, pool, embeddings, spread, count):
    """Picks up to `count` of each row's pool, `(q, r)`, one after the other."""
    places = ops.arange(ops.shape(scores)[1], dtype="int32")
    left, total, closest = pool, scores, float("inf")
    for _ in range(count):
        best = _argmax(ops.where(left, total, float("-inf")))
        left = ops.logical_and(left, places != best[:, None])
        last = ops.take(embeddings, best, axis=0)
        closest = ops.minimum(closest, distances(last, embeddings))
        total = scores + spread * closest
    return ops.logical_and(pool, ops.logical_not(left))


def _pools(alike, positives, negatives, others):
    """Returns what an anchor picks from, both empty if either would be."""
    nearest = ops.logical_and(others, ops.logical_not(negatives))
    farthest = ops.logical_and(others, ops.logical_not(positives))
    most = masked_max(alike, nearest, keepdims=True)
    least = masked_min(alike, farthest, keepdims=True)
    # Equal similarities of tags may be rounded differently.
    nearest = ops.logical_and(nearest, alike > most - 1e-6)
    farthest = ops.logical_and(farthest, alike < least + 1e-6)
    positives = ops.where(_any(positives), positives, nearest)
    negatives = ops.where(_any(negatives), negatives, farthest)
    usable = ops.logical_and(_any(positives), _any(negatives))
    same = _any(ops.logical_and(positives, negatives))
    usable = ops.logical_and(usable, ops.logical_not(same))
    return ops.logical_and(usable, positives), ops.logical_and(usable, negatives)


def _scaled(far, others):
    """Returns distances, `(q, r)`, scaled to 0 … 1 over each anchor's others."""
    least = masked_min(far, others, keepdims=True)
    spread = masked_max(far, others, keepdims=True) - least
    return (far - least) / ops.where(spread > 0.0, spread, 1.0)


def _others(anchors, references):
    """Returns `(q, r)` which pairs there are at all, alike or not."""
    labels = anchors.labels, references.labels
    return ops.logical_or(
        *pair_masks(*labels, references.copy_of, 0.0, 0.0, rows=anchors.copy_of)
    )


def _alike(labels, reference_labels):
    if len(labels.shape) == 1:
        return labels[:, None] == reference_labels
    return tag_similarities(labels, reference_labels)


def _any(mask):
    return ops.any(mask, axis=1, keepdims=True)


def _argmax(x):
    """Returns the place of the largest along the last axis, the first of equals."""
    return ops.cast(ops.argmax(x, axis=-1), "int32")
