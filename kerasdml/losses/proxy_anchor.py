"""Proxy-Anchor loss."""

import keras
from keras import ops

from kerasdml.losses.base import ProxyLoss
from kerasdml.ops import log1p_sum_exp
from kerasdml.references import AllReplicas, References


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class ProxyAnchor(ProxyLoss):
    """Pulls the batch's examples to their proxies and away from others, hardest most.

    A proxy is the anchor. With `s` its similarities to the batch's examples of its own
    class P and of other classes N:

        pull = log(1 + sum_P exp(-alpha * (s - margin)))
        push = log(1 + sum_N exp(+alpha * (s + margin)))
        loss = mean of `pull` over the classes in the batch + mean of `push` over all

    Pair weight: that of Multi-Similarity with rows and columns exchanged: a softmax of
    the exponents over the proxy's P (or N) and one 0, times `alpha`.
    A class that is not in the batch has only its push, and a proxy whose class is the
    whole batch only its pull.

    Args:
        num_classes: Number of classes, at least 2.
        alpha: Sharpness, per unit of cosine, > 0. Paper: 32.
        margin: Cosine beyond which pairs still count, at least 0. Paper: 0.1.
        references: `[references.AllReplicas()]` on several replicas, so that the
            examples of all take part in a proxy's cost; by default those of one do.
        **kwargs: `regularizer`, and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `alpha` is not positive, `margin` is negative, `num_classes` is
            below 2 or `references` are anything else; when called with `sample_weight`,
            since costs are per class.

    Example:

    >>> model = kerasdml.MetricModel(embedder)
    >>> model.compile("adam", loss=kerasdml.losses.ProxyAnchor(num_classes=100))

    The paper trains the proxies 100 times faster than the rest:
    `keras.optimizers.MultiOptimizer` with the pattern `"(.*/)?proxies/.*"`.

    Source: Kim et al., "Proxy Anchor Loss for Deep Metric Learning", CVPR 2020,
    https://arxiv.org/abs/2003.13911. Proxies start as N(0, 2 / num_classes), as in the
    authors' code, which breaks with two classes; this does not.
    """

    per_anchor = False

    def __init__(self, *, num_classes, alpha=32.0, margin=0.1, references=(), **kwargs):
        super().__init__(num_classes=num_classes, **kwargs)
        if alpha <= 0 or margin < 0:
            raise ValueError(
                "`alpha` must be positive and `margin` not negative. "
                f"Received: alpha={alpha}, margin={margin}."
            )
        if len(references) > 1 or not all(
            isinstance(x, AllReplicas) for x in references
        ):
            raise ValueError(
                f"{type(self).__name__} compares proxies with the batch: `references` "
                "can be `[references.AllReplicas()]` alone. "
                f"Received: references={references}."
            )
        self.references = list(references)
        self.alpha = alpha
        self.margin = margin

    @property
    def layers(self):
        return [*super().layers, *self.references]

    def initializer(self, num_classes):
        return keras.initializers.RandomNormal(stddev=(2 / num_classes) ** 0.5)

    def costs(self, labels, embeddings):
        if not self.references:
            return super().costs(labels, embeddings)
        rows = ops.arange(ops.shape(labels)[0], dtype="int32")
        batch = References(embeddings, labels, rows)
        whole, start = self.references[0].gathered(batch)
        costs = super().costs(whole.labels, whole.embeddings)
        if self.per_anchor:
            return ops.slice(costs, (start,), ops.shape(rows))
        return costs  # of proxies, the same on all replicas

    def pair_loss(self, similarities, positives, negatives):
        """Returns `(c,)` costs, one a proxy, whose mean is the loss."""
        pull = -self.alpha * (similarities - self.margin)
        push = self.alpha * (similarities + self.margin)
        present = ops.cast(ops.any(positives, axis=0), pull.dtype)
        count = ops.cast(ops.shape(similarities)[1], pull.dtype)
        share = count / ops.maximum(ops.sum(present), 1.0)
        pull = share * log1p_sum_exp(pull, positives, axis=0)
        return pull + log1p_sum_exp(push, negatives, axis=0)
