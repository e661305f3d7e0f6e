"""Instance loss."""

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.ops import log1p_sum_exp


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class Instance(PairLoss):
    """Tells each example of the batch from those that show another instance.

    A label is an instance: an image with its views, its caption, its augmentations.
    Each anchor is classified by a softmax of `scale * cosine` over the whole batch,
    itself included, and with `s` its cosines to the others of its own instance P and to
    the rest N, the cost is minus the log of the share that its instance has:

        loss = log(1 + sum_P+N exp(scale * (s - 1)))
             - log(1 + sum_P exp(scale * (s - 1)))

    Pair weight: of N, `scale` times its share of the softmax; of P, `scale` times what
    its share of the instance exceeds its share of the softmax by.
    An anchor without negatives costs 0.

    Args:
        scale: Of the cosines, > 0. The authors' later code, and the default: 64.
        **kwargs: `references`, `miner`, `average`, and Keras' `name`, `reduction`,
            `dtype`.

    Raises:
        ValueError: If `scale` is not positive or `similarity` is not "cosine".

    Example:

    >>> model.compile("adam", loss=kerasdml.losses.Instance())

    Source: Zheng et al., "Dual-Path Convolutional Image-Text Embeddings with Instance
    Loss", TOMM 2020, https://arxiv.org/abs/1711.05535, in the form of the authors'
    later code, without a classifier. The paper's own form, which has one, shared by
    images and texts, is `NormalizedSoftmax` with one class an instance. Where all
    labels differ, this is pytorch-metric-learning's value; where some are alike, that
    takes the example in the row of the label's rank for the target.
    """

    def __init__(self, *, scale=64.0, **kwargs):
        super().__init__(**kwargs)
        if scale <= 0:
            raise ValueError(f"`scale` must be positive. Received: scale={scale}.")
        if self.similarity != "cosine":
            raise ValueError(
                "Instance compares by cosine, that of an example with itself being 1. "
                f"Received: similarity={self.similarity!r}."
            )
        self.scale = scale

    def pair_loss(self, similarities, positives, negatives):
        excess = self.scale * (similarities - 1.0)
        everything = log1p_sum_exp(excess, ops.logical_or(positives, negatives))
        return everything - log1p_sum_exp(excess, positives)
