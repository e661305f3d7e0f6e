"""Proxy-NCA."""

import keras
import numpy as np
from keras import ops

from kerasdml.layers import Proxies
from kerasdml.losses.base import ProxyLoss
from kerasdml.ops import log_sum_exp


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class ProxyNCA(ProxyLoss):
    """Tells an example's proxy from all other proxies, by softmax.

    With `d` the squared distance between embedding and proxy, scaled to the lengths
    `embedding_scale` and `proxy_scale`, and N the proxies of other classes:

        loss = d_y + log(sum_N exp(-d))                     include_positive=False
        loss = d_y + log(exp(-d_y) + sum_N exp(-d))         include_positive=True

    The second is the cross-entropy of the logits `2 * embedding_scale * proxy_scale *
    cosine`, at least 0; the first, the paper's, has no lower bound. The defaults are
    ProxyNCA++; Proxy-NCA as in its paper is `include_positive=False`; both are among
    `losses.presets`. Without labels of classes, see `DynamicProxyNCA`.

    Pair weight: of the own proxy, 1 less its share of the softmax (1 in the paper's
    form); of another, its share; both times the factor of the logits. Smoothed labels
    take the place of 1 and 0.

    Args:
        num_classes: Number of classes, at least 2.
        include_positive: Whether the own proxy is in the denominator. Paper: no;
            ProxyNCA++, the common code and the default here: yes.
        embedding_scale: Length of the embeddings, > 0. ProxyNCA++: 3, the default,
            which with `proxy_scale` makes a temperature of 1/9.
        proxy_scale: Length of the proxies, > 0. ProxyNCA++: 3.
        label_smoothing: What the target gives away from the own proxy, in equal parts
            to all others, at least 0 and below 1; it needs `include_positive`.
            ProxyNCA++: 0; the common code of Proxy-NCA: 0.1.
        assignment: The proxy of each class, `num_classes` integers 0 … at least 1, for
            fewer proxies than classes: those of one proxy are not told apart. `None`,
            the default, gives each class its own. Which classes share one, the paper
            does not say; `np.arange(num_classes) // 2` is two each.
        **kwargs: `regularizer`, and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If an argument is out of its range.

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
        label_smoothing=0.0,
        assignment=None,
        **kwargs,
    ):
        super().__init__(num_classes=num_classes, **kwargs)
        if embedding_scale <= 0 or proxy_scale <= 0:
            raise ValueError(
                "`embedding_scale` and `proxy_scale` must be positive. Received: "
                f"embedding_scale={embedding_scale}, proxy_scale={proxy_scale}."
            )
        if not 0 <= label_smoothing < 1 or (label_smoothing and not include_positive):
            raise ValueError(
                "`label_smoothing` must be at least 0 and below 1, and 0 unless "
                f"`include_positive`. Received: label_smoothing={label_smoothing}, "
                f"include_positive={include_positive}."
            )
        self.include_positive = include_positive
        self.embedding_scale = embedding_scale
        self.proxy_scale = proxy_scale
        self.label_smoothing = label_smoothing
        self.assignment = assignment
        if assignment is not None:
            self.assignment = _check_assignment(assignment, num_classes)
            count = max(self.assignment) + 1
            self.proxies = Proxies(
                count, self.initializer(count), regularizer=self.regularizer
            )

    def initializer(self, num_classes):
        return keras.initializers.RandomNormal(stddev=1 / 8)

    def class_costs(self, labels, embeddings):
        if self.assignment is None:
            return super().class_costs(labels, embeddings)
        known = (labels != -1)[:, None]
        own = ops.take(
            ops.convert_to_tensor(self.assignment, dtype="int32"),
            ops.clip(labels, 0, self.num_classes - 1),
        )
        own = own[:, None] == ops.arange(self.proxies.num_classes, dtype="int32")
        positives = ops.logical_and(known, own)
        negatives = ops.logical_and(known, ops.logical_not(own))
        return self.cost(embeddings, positives, negatives)

    def pair_loss(self, similarities, positives, negatives):
        # -d is the logit less a constant, which cancels.
        logits = 2.0 * self.embedding_scale * self.proxy_scale * similarities
        others = negatives
        if self.include_positive:
            others = ops.logical_or(negatives, positives)
        target = ops.sum(ops.where(positives, logits, 0.0), axis=1)
        if self.label_smoothing:
            rest = ops.sum(ops.where(negatives, logits, 0.0), axis=1)
            others_count = ops.cast(ops.shape(logits)[1] - 1, logits.dtype)
            share = self.label_smoothing / others_count
            target = (1.0 - self.label_smoothing) * target + share * rest
        return log_sum_exp(logits, others) - target


def _check_assignment(assignment, num_classes):
    proxies = np.asarray(assignment)
    fits = proxies.shape == (num_classes,) and proxies.dtype.kind in "iu"
    if not fits or not np.array_equal(np.unique(proxies), range(proxies.max() + 1)):
        raise ValueError(
            "`assignment` must be the proxy of each class, `num_classes` integers "
            "among which is each from 0 to the highest. "
            f"Received: assignment={assignment!r}, num_classes={num_classes}."
        )
    if proxies.max() < 1:
        raise ValueError(
            "`assignment` must leave at least 2 proxies to tell apart. "
            f"Received: assignment={assignment!r}."
        )
    return proxies.tolist()
