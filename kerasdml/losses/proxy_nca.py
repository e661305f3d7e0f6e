"""Proxy-NCA."""

import keras
from keras import ops

from kerasdml.losses.base import ProxyLoss
from kerasdml.ops import log_sum_exp


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class ProxyNCA(ProxyLoss):
    """Tells an example's proxy from all other classes' proxies, by softmax.

    With `d` the squared distance between embedding and proxy, scaled to the lengths
    `embedding_scale` and `proxy_scale`, and N the other classes' proxies:

        loss = d_y + log(sum_N exp(-d))                     include_positive=False
        loss = d_y + log(exp(-d_y) + sum_N exp(-d))         include_positive=True

    The second is the cross-entropy of the logits `2 * embedding_scale * proxy_scale *
    cosine`, at least 0; the first, the paper's, has no lower bound.

    Pair weight: of the own proxy, 1 less its share of the softmax (1 in the paper's
    form); of another, its share; both times the factor of the logits.

    Args:
        num_classes: Number of classes, at least 2.
        include_positive: Whether the own proxy is in the denominator. Paper: no;
            ProxyNCA++, the common code and the default here: yes.
        embedding_scale: Length of the embeddings, > 0. ProxyNCA++: 3, the default,
            which with `proxy_scale` makes a temperature of 1/9.
        proxy_scale: Length of the proxies, > 0. ProxyNCA++: 3.
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If a scale is not positive, or `num_classes` is below 2.

    Example:

    >>> model = kerasdml.MetricModel(embedder)
    >>> model.compile("adam", loss=kerasdml.losses.ProxyNCA(num_classes=100))

    Source: Movshovitz-Attias et al., "No Fuss Distance Metric Learning using Proxies",
    ICCV 2017, https://arxiv.org/abs/1703.07464; Teh et al., "ProxyNCA++", ECCV 2020,
    https://arxiv.org/abs/2004.01113. Proxies start as N(0, 1/8), as in the latter.
    """

    def __init__(
        self,
        *,
        num_classes,
        include_positive=True,
        embedding_scale=3.0,
        proxy_scale=3.0,
        **kwargs,
    ):
        super().__init__(num_classes=num_classes, **kwargs)
        if embedding_scale <= 0 or proxy_scale <= 0:
            raise ValueError(
                "`embedding_scale` and `proxy_scale` must be positive. Received: "
                f"embedding_scale={embedding_scale}, proxy_scale={proxy_scale}."
            )
        self.include_positive = include_positive
        self.embedding_scale = embedding_scale
        self.proxy_scale = proxy_scale

    def initializer(self, num_classes):
        return keras.initializers.RandomNormal(stddev=1 / 8)

    def pair_loss(self, similarities, positives, negatives):
        # -d is the logit less a constant, which cancels.
        logits = 2.0 * self.embedding_scale * self.proxy_scale * similarities
        others = negatives
        if self.include_positive:
            others = ops.logical_or(negatives, positives)
        own = ops.sum(ops.where(positives, logits, 0.0), axis=1)
        return log_sum_exp(logits, others) - own
