"""Normalized softmax."""

import keras

from kerasdml.losses.base import ProxyLoss
from kerasdml.ops import of_own, softmax_costs


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class NormalizedSoftmax(ProxyLoss):
    """Softmax over the proxies' cosines: classification, without lengths and biases.

    The cost is the cross-entropy of the logits `cos(theta) / temperature`, `theta`
    being the angle between an embedding and a proxy.

    Pair weight: of another proxy, its share of the softmax; of the own, one less its
    share; both over `temperature`.

    Args:
        num_classes: Number of classes, at least 2.
        temperature: Of the softmax, in units of cosine, > 0. Paper and default: 0.05.
        **kwargs: `regularizer`, and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `temperature` is not positive, or `num_classes` is below 2.

    Example:

    >>> model = kerasdml.MetricModel(embedder)
    >>> model.compile("adam", loss=kerasdml.losses.NormalizedSoftmax(num_classes=100))

    Source: Zhai and Wu, "Classification is a Strong Baseline for Deep Metric Learning",
    BMVC 2019, https://arxiv.org/abs/1811.12649. `CosFace` and `ArcFace` without margin
    and `ProxyNCA` with its positive are the same at a scale of `1 / temperature`.
    """

    def __init__(self, *, num_classes, temperature=0.05, **kwargs):
        super().__init__(num_classes=num_classes, **kwargs)
        if temperature <= 0:
            raise ValueError(
                f"`temperature` must be positive. Received: temperature={temperature}."
            )
        self.temperature = temperature

    def pair_loss(self, similarities, positives, negatives):
        logits = similarities / self.temperature
        own = of_own(logits, positives)
        return softmax_costs(own, logits, positives, negatives)
