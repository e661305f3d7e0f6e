"""Binomial deviance loss."""

import keras
from keras import ops

from kerasdml.losses.base import PairLoss


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class BinomialDeviance(PairLoss):
    """Classifies each pair as alike or not by its similarity, with a soft hinge.

    For an anchor with similarities `s` to its positives P and negatives N:

        loss = mean_P log(1 + exp(-alpha * (s - base)))
             + mean_N log(1 + exp(+beta  * (s - base)))

    Pair weight: `alpha * sigmoid(-alpha * (s - base)) / |P|` of a positive, likewise
    with `beta` and N of a negative; each depends on its own similarity alone. An anchor
    without positives (or negatives) has no first (or second) term.

    Args:
        alpha: Sharpness of the pull, per unit of similarity, > 0. Paper: 2.
        beta: Sharpness of the push, per unit of similarity, > 0: the paper's alpha
            times its cost C of negatives. Common code (C = 25): 50, the default.
        base: The similarity that parts positives from negatives. Paper: 0.5.
        **kwargs: `similarity`, `references`, `miner`, `average`, and Keras' `name`,
            `reduction`, `dtype`.

    Raises:
        ValueError: If `alpha` or `beta` is not positive.

    Example:

    >>> model.compile("adam", loss=kerasdml.losses.BinomialDeviance())

    Source: Yi et al., "Deep Metric Learning for Practical Person Re-Identification",
    ICPR 2014, https://arxiv.org/abs/1407.4979. The paper takes the means over all pairs
    of the batch; those over each anchor's, as in Wang et al., CVPR 2019,
    https://arxiv.org/abs/1904.06627, are the same where classes are equally large, and
    elsewhere give every anchor the same say.
    """

    def __init__(self, *, alpha=2.0, beta=50.0, base=0.5, **kwargs):
        super().__init__(**kwargs)
        if alpha <= 0 or beta <= 0:
            raise ValueError(
                "`alpha` and `beta` must be positive. "
                f"Received: alpha={alpha}, beta={beta}."
            )
        self.alpha = alpha
        self.beta = beta
        self.base = base

    def pair_loss(self, similarities, positives, negatives):
        excess = similarities - self.base
        pull = _mean(ops.softplus(-self.alpha * excess), positives)
        push = _mean(ops.softplus(self.beta * excess), negatives)
        return pull + push


def _mean(x, mask):
    count = ops.sum(ops.cast(mask, x.dtype), axis=1)
    return ops.sum(ops.where(mask, x, 0.0), axis=1) / ops.maximum(count, 1.0)
