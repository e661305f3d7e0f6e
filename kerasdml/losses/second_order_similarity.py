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
        differences = ops.where(positives, squared_distances(far, far), 0.0)
        pairs = ops.sum(ops.cast(positives, x.dtype))
        loss = safe_sqrt(ops.sum(differences), scale=0.0) / ops.maximum(pairs, 1.0)
        return loss + ops.zeros_like(x[:, 0])
