"""Global orthogonal regularization, or spread-out."""

import keras
from keras import ops

from kerasdml.losses.base import MetricLoss
from kerasdml.ops import pair_masks, similarities


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class GlobalOrthogonal(MetricLoss):
    """Makes different classes as orthogonal as random directions: a term to be added.

    Two random directions in d dimensions have a cosine of mean 0 and mean square 1 / d.
    With `s` the cosines of all pairs of different classes in the batch:

        loss = (mean of s)^2 + max(0, mean of s^2 - 1 / d)

    Pair weight: a negative with a cosine above 0 is pushed away, one below 0 is drawn
    back to orthogonal; a positive has none.
    A batch without negatives costs 0. There is one cost for the whole batch, the same
    for each example.

    Args:
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: When called with `sample_weight`, since the cost is of the batch.

    Example:

    >>> loss = losses.Triplet() + losses.GlobalOrthogonal()

    Source: Zhang et al., "Learning Spread-out Local Feature Descriptors", ICCV 2017,
    https://arxiv.org/abs/1708.06320, where it is added with the weight 1. The paper
    draws one negative for each pair of the batch, this takes all. Tags (multi-hot
    labels) differ where `losses.PairLoss` has negatives by default.
    """

    per_anchor = False
    takes_tags = True

    def costs(self, labels, embeddings):
        rows = ops.arange(ops.shape(embeddings)[0], dtype="int32")
        _, negatives = pair_masks(labels, labels, rows)
        negatives = ops.cast(negatives, embeddings.dtype)
        count = ops.maximum(ops.sum(negatives), 1.0)
        s = negatives * similarities(embeddings, embeddings)
        excess = ops.sum(s**2) / count - 1.0 / embeddings.shape[1]
        cost = (ops.sum(s) / count) ** 2 + ops.relu(excess)
        return cost + ops.zeros_like(embeddings[:, 0])
