"""Normalised temperature-scaled cross entropy, also called InfoNCE."""

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.ops import cross_entropies


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class NTXent(PairLoss):
    """Picks the positive out of the negatives, by softmax: InfoNCE, SimCLR's loss.

    For a positive pair of similarity `s_p`, with the anchor's negatives N:

        loss = -log(exp(s_p / t) / (exp(s_p / t) + sum_N exp(s_n / t)))

    The anchor's other positives take no part in the sum, so each is pulled on its own.

    Pair weight: of a negative, its share of the softmax over N and p, over t, from
    every positive p; of a positive, the sum of what the negatives get through it. An
    anchor without positives or without negatives costs 0.

    SimCLR is this with two views of every image, its number as their label: of the
    batch [views, views] the labels are [0 … n-1, 0 … n-1].

    Args:
        temperature: t, in units of similarity, > 0; the lower, the more the hardest
            negatives weigh. The default 0.07 is MoCo's and pytorch-metric-learning's;
            SimCLR: 0.1 to 0.5.
        average: "pairs" (the default), the mean over positive pairs, or "anchors", the
            sum over each anchor's. SimCLR has one a view, and so both are its mean.
        **kwargs: `similarity`, `references`, `miner`, and Keras' `name`, `reduction`,
            `dtype`.

    Raises:
        ValueError: If `temperature` is not positive.

    Example:

    >>> model.compile("adam", loss=kerasdml.losses.NTXent(temperature=0.1))

    Source: Chen et al., "A Simple Framework for Contrastive Learning of Visual
    Representations", ICML 2020, https://arxiv.org/abs/2002.05709, with several
    positives an anchor as in pytorch-metric-learning. The classes' other common form,
    with all positives in the sum, is `SupCon`; with all in the numerator, `NCA`.
    """

    def __init__(self, *, temperature=0.07, average="pairs", **kwargs):
        super().__init__(average=average, **kwargs)
        if temperature <= 0:
            raise ValueError(
                f"`temperature` must be positive. Received: temperature={temperature}."
            )
        self.temperature = temperature

    def pair_loss(self, similarities, positives, negatives):
        logits = similarities / self.temperature
        return cross_entropies(logits, logits, positives, negatives)

    def pair_count(self, similarities, positives, negatives):
        return ops.sum(ops.cast(positives, similarities.dtype), axis=1)
