"""Positives as far from each negative as their anchor: second-order similarity."""

import keras
from keras import ops

from kerasdml.losses.base import MetricLoss
from kerasdml.ops import normalize, pair_masks, safe_sqrt
from kerasdml.ops.distances import squared_distances


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class SecondOrderSimilarity(MetricLoss):
    """Wants an anchor and its positive to be equally far from every negative.

    A term to be added to a loss of pairs. With D the squared distances of embeddings
    scaled to length 1, over all anchors a, their positives p and negatives n,

        loss = sqrt(sum over a, p, n of (D_an - D_pn)²) / number of pairs (a, p)

    Pair weight: of a and n, the sum of `D_an - D_pn` over the positives, relative to
    the root. No array of triplets is built. Without positives or without negatives, and
    where all differences are 0, it is 0, with gradient 0.

    Args:
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Example:

    >>> triplets = losses.Triplet(similarity="squared_euclidean", margin=1.25)
    >>> loss = triplets + 10.0 * losses.SecondOrderSimilarity()

    Source: Ng et al., "SOLAR: Second-Order Loss and Attention for Image Retrieval",
    ECCV 2020, https://arxiv.org/abs/2001.08972, with the weight 10; after Tian et al.,
    "SOSNet", CVPR 2019. The authors' tuples have one positive and five negatives each;
    here they are all that the batch has.
    """

    per_anchor = False

    def costs(self, labels, embeddings):
        x = normalize(embeddings)
        rows = ops.arange(ops.shape(labels)[0], dtype="int32")
        positives, negatives = pair_masks(labels, labels, rows)
        # Examples of one class have the same negatives, and differ by nothing else.
        far = ops.where(negatives, squared_distances(x, x), 0.0)
        partners = ops.sum(ops.cast(positives, x.dtype), axis=1)
        # Squared differences of all pairs add up to those from the class's mean, times
        # twice its size; as it is the mean, that it moves too changes nothing.
        means = ops.stop_gradient(_class_means(far, labels, partners + 1.0))
        weights = 2.0 * (partners + 1.0)
        total = ops.sum(weights * ops.sum((far - means) ** 2, axis=1))
        # What rounding may make of equal distances, relative to their squares.
        scale = 1e-6 * ops.sum(weights * ops.sum(means**2, axis=1))
        loss = safe_sqrt(total, scale) / ops.maximum(ops.sum(partners), 1.0)
        return loss + ops.zeros_like(x[:, 0])


def _class_means(far, labels, sizes):
    """Returns `(q, r)` the mean over the rows of each row's class."""
    first = ops.argmax(labels[:, None] == labels, axis=1)
    sums = ops.segment_sum(far, first, ops.shape(far)[0])
    return ops.take(sums / sizes[:, None], first, axis=0)
