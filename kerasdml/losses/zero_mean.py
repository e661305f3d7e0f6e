"""Penalty of embeddings whose coordinates do not sum to zero."""

import keras
from keras import ops

from kerasdml.losses.base import MetricLoss


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class ZeroMean(MetricLoss):
    """Draws the sum of each embedding's coordinates to 0: a term to be added to others.

        loss = |sum over coordinates of x|, for each embedding

    It does not look at labels. Where the sum is 0, so is the gradient. This is about
    the coordinates of one embedding; what centres a batch at the origin is
    `losses.GlobalOrthogonal`.

    Args:
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Example:

    >>> loss = losses.MultiSimilarity() + 0.01 * losses.ZeroMean()

    Source: `ZeroMeanRegularizer` of pytorch-metric-learning, whose value it has.
    """

    takes_tags = True

    def costs(self, labels, embeddings):
        del labels
        sums = ops.sum(embeddings, axis=1)
        return sums * ops.sign(sums)  # the slope of `abs` at 0 is 1 in JAX
