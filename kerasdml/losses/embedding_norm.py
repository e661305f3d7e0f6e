"""Penalty of long embeddings."""

import keras
from keras import ops

from kerasdml.losses.base import MetricLoss


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class EmbeddingNorm(MetricLoss):
    """Keeps embeddings short: a term to be added to another loss.

        loss = (sum over coordinates of |x|^p)^(power / p), for each embedding

    Losses of raw dot products or distances let embeddings grow without end; this is
    what holds them. It does not look at labels. On embeddings that the model has
    normalised it is constant. At 0 its value and its gradient are 0.

    Args:
        p: Which norm, at least 1 and finite: 2 is the Euclidean length, 1 the sum of
            sizes.
        power: To what power the norm is taken, at least 1: 2 is the squared length of
            weight decay, with a pull in proportion to the length; 1 (the default of
            pytorch-metric-learning's `LpRegularizer`) pulls all lengths alike.
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `p` or `power` is below 1, or `p` infinite.

    Example:

    >>> loss = losses.NPairs(l2_weight=0.0) + 0.001 * losses.EmbeddingNorm(power=2.0)
    """

    takes_tags = True

    def __init__(self, *, p=2.0, power=1.0, **kwargs):
        super().__init__(**kwargs)
        if not 1 <= p < float("inf") or power < 1:
            raise ValueError(
                "`p` and `power` must be at least 1, and `p` finite. "
                f"Received: p={p}, power={power}."
            )
        self.p = p
        self.power = power

    def costs(self, labels, embeddings):
        del labels
        sizes = embeddings * ops.sign(embeddings)  # the slope of `abs` at 0 is 1 in JAX
        # In units of the largest coordinate no power overflows or vanishes.
        unit = ops.stop_gradient(ops.max(sizes, axis=1))
        some = unit > 0.0
        unit = ops.where(some, unit, 1.0)
        total = ops.sum((sizes / unit[:, None]) ** self.p, axis=1)
        norms = unit * ops.where(some, total, 1.0) ** (1.0 / self.p)
        return ops.where(some, norms, 0.0) ** self.power
