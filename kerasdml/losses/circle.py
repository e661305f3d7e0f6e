"""Circle loss."""

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.ops import log_sum_exp


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class Circle(PairLoss):
    """Pulls and pushes each pair at its own pace, by how far it is from its optimum.

    For an anchor with cosines `s` to its positives P and negatives N:

        loss = log(1 + sum_N exp(scale * max(s_n + margin, 0) * (s_n - margin))
                     * sum_P exp(scale * max(1 + margin - s_p, 0) * (1 - margin - s_p)))

    where the factors `max(…)`, the paces, count as constants: no gradient enters them.

    Pair weight: the scaled pace, times the pair's share of the softmax over its kind,
    times how far the anchor is from done, 0 … 1. An anchor without positives or without
    negatives costs 0.

    Args:
        margin: Relaxation, 0 … 1: positives are to be above `1 - margin`, negatives
            below `margin`. Paper: 0.4, the default, for retrieval of fine-grained
            classes; 0.25 for faces and persons.
        scale: Sharpness of the softmax, > 0. Paper: 80, the default, for fine-grained
            classes; 256 for faces, 128 for persons.
        **kwargs: `similarity` (margins are meant for "cosine"), `references`, `miner`,
            `average` ("active" is pytorch-metric-learning's), and Keras' `name`,
            `reduction`, `dtype`.

    Raises:
        ValueError: If `scale` is not positive.

    Example:

    >>> model.compile("adam", loss=kerasdml.losses.Circle())

    Source: Sun et al., "Circle Loss: A Unified Perspective of Pair Similarity
    Optimization", CVPR 2020, https://arxiv.org/abs/2002.10857. TensorFlow Similarity
    differs: it lets the gradient enter the paces, and adds the logarithms of the two
    sums where the paper has the logarithm of 1 plus their product.
    """

    def __init__(self, *, margin=0.4, scale=80.0, **kwargs):
        super().__init__(**kwargs)
        if scale <= 0:
            raise ValueError(f"`scale` must be positive. Received: scale={scale}.")
        self.margin = margin
        self.scale = scale

    def pair_loss(self, similarities, positives, negatives):
        constant = ops.stop_gradient(similarities)
        pull = ops.relu(1.0 + self.margin - constant) * (
            1.0 - self.margin - similarities
        )
        push = ops.relu(constant + self.margin) * (similarities - self.margin)
        costs = ops.softplus(
            log_sum_exp(self.scale * pull, positives)
            + log_sum_exp(self.scale * push, negatives)
        )
        some = ops.logical_and(ops.any(positives, axis=1), ops.any(negatives, axis=1))
        return ops.where(some, costs, 0.0)
