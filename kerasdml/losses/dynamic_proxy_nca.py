"""Proxy-NCA without labels of classes."""

import numbers

import keras
from keras import ops

from kerasdml.layers import Proxies
from kerasdml.losses.base import PairLoss
from kerasdml.ops import log_sum_exp, similarities


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class DynamicProxyNCA(PairLoss):
    """Proxy-NCA whose proxies belong to no class: the nearest stands for an example.

    Labels need only say which examples of a batch belong together, such as views of one
    image; there may be any number of them. With `p(v)` the proxy nearest to an example
    v and `d` the squared distances of an anchor, scaled to the length
    `embedding_scale`, from proxies of the length `proxy_scale`, and N the proxies of
    its negatives, each once, without those of its positives:

        loss = mean over positives v of d_p(v) + log(sum_N exp(-d))

    which is for `include_positive=False`; else `exp(-d_p(v))` is in the sum.

    Pair weight: of a positive, none: it chooses a proxy, which is weighted as in
    `ProxyNCA`. No gradient flows through the choice. An anchor without positives costs
    0, and so does one for all of whose negatives proxies of its positives stand.

    Args:
        num_proxies: Number of proxies, at least 2. The more there are, the closer they
            stand for the examples. The default is a guess.
        include_positive: Whether the positive's proxy is in the denominator. Paper: no;
            the default is that of `ProxyNCA`.
        embedding_scale: Length of the embeddings, > 0. The default is that of
            `ProxyNCA`.
        proxy_scale: Length of the proxies, > 0, likewise.
        **kwargs: `references`, `miner`, `average` ("anchors" or "active"), and Keras'
            `name`, `reduction`, `dtype`. The proxies are compared by cosine, and
            `similarity` is what a miner sees.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> loss = kerasdml.losses.DynamicProxyNCA(num_proxies=500)
    >>> model.compile("adam", loss=loss)

    Source: Movshovitz-Attias et al., "No Fuss Distance Metric Learning using Proxies",
    ICCV 2017, https://arxiv.org/abs/1703.07464, section on dynamic assignment. What to
    do where one proxy stands for a positive and for negatives is a reconstruction.
    """

    def __init__(
        self,
        *,
        num_proxies=128,
        include_positive=True,
        embedding_scale=3.0,
        proxy_scale=3.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(num_proxies, numbers.Integral) or num_proxies < 2:
            raise ValueError(
                "`num_proxies` must be an integer of at least 2. "
                f"Received: num_proxies={num_proxies!r}."
            )
        if embedding_scale <= 0 or proxy_scale <= 0:
            raise ValueError(
                "`embedding_scale` and `proxy_scale` must be positive. Received: "
                f"embedding_scale={embedding_scale}, proxy_scale={proxy_scale}."
            )
        self.num_proxies = int(num_proxies)
        self.include_positive = include_positive
        self.embedding_scale = embedding_scale
        self.proxy_scale = proxy_scale
        initializer = keras.initializers.RandomNormal(stddev=1 / 8)
        self.proxies = Proxies(self.num_proxies, initializer)

    @property
    def layers(self):
        return [self.proxies, *super().layers]

    def cost(self, anchors, references):
        _, positives, negatives = self.pairs(anchors, references)
        points = ops.cast(self.proxies.points, anchors.embeddings.dtype)
        nearest = ops.argmax(similarities(references.embeddings, points), axis=1)
        standing = ops.one_hot(nearest, self.num_proxies, dtype=points.dtype)
        # How many positives, and negatives, of an anchor a proxy stands for.
        own = ops.matmul(ops.cast(positives, points.dtype), standing)
        others = ops.matmul(ops.cast(negatives, points.dtype), standing)
        others = ops.logical_and(others > 0.0, own == 0.0)
        return self.pair_loss(similarities(anchors.embeddings, points), own, others)

    def pair_loss(self, similarities, positives, negatives):
        """Returns `(q,)` costs against proxies; `positives` are counts of positives."""
        logits = 2.0 * self.embedding_scale * self.proxy_scale * similarities
        costs = log_sum_exp(logits, negatives)[:, None] - logits
        if self.include_positive:
            costs = ops.softplus(costs)
        counts = ops.cast(positives, costs.dtype)
        shares = counts / ops.maximum(ops.sum(counts, axis=1, keepdims=True), 1.0)
        return ops.where(
            ops.any(negatives, axis=1), ops.sum(shares * costs, axis=1), 0.0
        )
