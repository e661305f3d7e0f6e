"""Supervised contrastive loss."""

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.ops import log_sum_exp


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class SupCon(PairLoss):
    """Gives each positive the same share of a softmax over all other examples.

    For an anchor with positives P and negatives N, the paper's L_out:

        loss = -mean_P log(exp(s_p / t) / sum_{P and N} exp(s / t))

    Pair weight: of a negative, its share of the softmax, over t; of a positive, 1 / |P|
    less its share, over t. So a positive with more than its share, closer than the
    others, is let go: positives are to be equally close. An anchor without positives
    costs 0. One without negatives still evens out its positives.

    Args:
        temperature: t, in units of similarity, > 0. Paper: 0.1, the default; the
            authors' code: 0.07, by which it then multiplies the loss, over 0.07.
        average: "anchors" (the default), all of them, as in the paper; "active" is
            pytorch-metric-learning's, which leaves out those without positives.
        **kwargs: `similarity`, `references`, `miner`, and Keras' `name`, `reduction`,
            `dtype`.

    Raises:
        ValueError: If `temperature` is not positive.

    Example:

    >>> model.compile("adam", loss=kerasdml.losses.SupCon())

    Source: Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020,
    https://arxiv.org/abs/2004.11362, equation 2. Its L_in, with the mean over P inside
    the logarithm, is `NCA` up to a constant.
    """

    def __init__(self, *, temperature=0.1, average="anchors", **kwargs):
        super().__init__(average=average, **kwargs)
        if temperature <= 0:
            raise ValueError(
                f"`temperature` must be positive. Received: temperature={temperature}."
            )
        self.temperature = temperature

    def pair_loss(self, similarities, positives, negatives):
        logits = similarities / self.temperature
        count = ops.sum(ops.cast(positives, logits.dtype), axis=1)
        pull = ops.sum(ops.where(positives, logits, 0.0), axis=1)
        push = log_sum_exp(logits, ops.logical_or(positives, negatives))
        costs = push - pull / ops.maximum(count, 1.0)
        return ops.where(count > 0.0, costs, 0.0)
