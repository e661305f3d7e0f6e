"""Proxy synthesis."""

import keras
from keras import ops

from kerasdml.layers import Seed
from kerasdml.losses.base import MetricLoss, ProxyLoss
from kerasdml.losses.proxy_nca import ProxyNCA
from kerasdml.ops import normalize, similarities
from kerasdml.step import step

DRAWS = 64  # Of them, fewer than 1 in 100,000 batches would need more.


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class ProxySynthesis(MetricLoss):
    """Trains a loss with proxies on classes that are made up between its own as well.

    In training each example x is paired with one of another class, and one share s is
    drawn for the batch. `s x + (1 - s) x'` is an example of a class of its own, whose
    proxy is `s p + (1 - s) p'`; all are scaled to length 1 before and after. The loss
    then has twice the examples and, beside its proxies, one more for each; what it
    tells apart lies closer, so that decision boundaries are smooth. The cost of an
    example is the mean of its own and of that which it began. An example without a
    class, or in a batch of one class, begins none. In evaluation the loss is the plain
    one.

    Args:
        loss: What is trained: a loss with one proxy a class, of their cosines alone,
            such as `ProxyNCA`, `NormalizedSoftmax`, `CosFace`, `ArcFace` or
            `ProxyAnchor`. What it remembers or has proxies for is saved with this.
        alpha: The share has the Beta(alpha, alpha) distribution, above 0 and at most 2:
            the smaller, the closer to one of the two. The authors' commands: 0.4.
        seed: Integer that the draws begin with; `None` takes a random one.
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `loss` has several proxies a class, or needs more than cosines;
            if it has `references`, or a reduction other than the default; if `alpha` is
            outside its range.

    Example:

    >>> loss = losses.ProxySynthesis(loss=losses.ProxyNCA(num_classes=100))
    >>> model.compile("adam", loss=loss)

    Source: Gu, Ko and Kim, "Proxy Synthesis: Learning with Synthetic Classes for Deep
    Metric Learning", AAAI 2021, https://arxiv.org/abs/2103.15454, at a generation ratio
    of 1. The authors' code pairs each row with the one before, and asks for batches in
    which those differ; here the other is the first of another class from a random
    number of rows on, so that balanced batches will do.
    """

    def __init__(self, *, loss, alpha=0.4, seed=None, **kwargs):
        super().__init__(**kwargs)
        _check_loss(loss)
        if not 0 < alpha <= 2:
            raise ValueError(f"`alpha` must be in (0, 2]. Received: alpha={alpha}.")
        self.loss = loss
        self.alpha = alpha
        self.seed = seed
        self.draws = Seed(seed=seed)

    @property
    def per_anchor(self):
        return self.loss.per_anchor

    @property
    def layers(self):
        return [*self.loss.layers, self.draws]

    def build(self, dim):
        self.loss.build(dim)
        super().build(dim)

    def check_labels(self, labels):
        self.loss.check_labels(labels)

    def costs(self, labels, embeddings):
        if not step.training:
            return self.loss.costs(labels, embeddings)
        stream, classes = self.draws.seed_generator, self.loss.num_classes
        partner, paired = _of_another_class(
            labels, keras.random.uniform((), seed=stream)
        )
        share = ops.cast(beta_share(self.alpha, stream), embeddings.dtype)

        def with_mixed(x, kept):
            mixed = share * x + (1.0 - share) * ops.take(x, partner, axis=0)
            return ops.concatenate([kept, mixed])

        x = normalize(embeddings)
        proxies = normalize(ops.cast(self.loss.proxies.points, x.dtype))
        own = ops.take(proxies, ops.clip(labels, 0, classes - 1), axis=0)
        s = similarities(with_mixed(x, x), with_mixed(own, proxies))
        costs = self.loss.pair_loss(s, *_masks(labels, paired, classes))
        if self.per_anchor:
            halves = ops.reshape(costs, (2, -1))
            costs = ops.where(paired, ops.mean(halves, axis=0), halves[0])
        outside = ops.any(ops.logical_or(labels < -1, labels >= classes))
        return ops.where(outside, float("nan"), costs)


def _masks(labels, paired, classes):
    """Returns which pairs of `(2 q, c + q)` are positive, and which negative."""
    made = classes + ops.arange(ops.shape(labels)[0], dtype=labels.dtype)
    made = ops.where(paired, made, -1)
    rows = ops.concatenate([labels, made])[:, None]
    columns = ops.concatenate([ops.arange(classes, dtype=labels.dtype), made])
    pairs = ops.logical_and(rows != -1, columns != -1)
    same = rows == columns
    return ops.logical_and(pairs, same), ops.logical_and(pairs, ops.logical_not(same))


def _of_another_class(labels, offset):
    """Pairs each example with the first of another class, some rows on, in a circle.

    Args:
        labels: `(q,)`; an example with -1 has no partner and is none.
        offset: Number in [0, 1), of the batch, from which on to look.

    Returns:
        `(q,)` rows, and `(q,)` whether there is one.
    """
    rows, known = ops.arange(ops.shape(labels)[0], dtype="int32"), labels != -1
    skip = ops.floor(offset * ops.cast(ops.shape(labels)[0], "float32"))
    ahead = (rows - rows[:, None] - ops.cast(skip, "int32")) % ops.shape(labels)[0]
    other = ops.logical_and(labels[:, None] != labels, known[:, None])
    other = ops.logical_and(other, known)
    ahead = ops.where(other, ahead, ops.shape(labels)[0])
    return ops.argmin(ahead, axis=1), ops.any(other, axis=1)


def beta_share(alpha, stream):
    """Draws a number of the Beta(alpha, alpha) distribution, alpha at most 2.

    Jöhnk's way: the first of two powers of uniform draws whose sum is at most 1, over
    that sum. Unlike `keras.random.beta` it compiles under XLA.
    """
    powers = keras.random.uniform((2, DRAWS), seed=stream) ** (1.0 / alpha)
    total = ops.sum(powers, axis=0)
    accepted = ops.logical_and(total <= 1.0, total > 0.0)
    shares = ops.where(accepted, powers[0] / ops.where(accepted, total, 1.0), 0.5)
    return ops.take(shares, ops.argmax(ops.cast(accepted, "int32")))


def _check_loss(loss):
    cosines = isinstance(loss, ProxyLoss) and type(loss).cost is ProxyLoss.cost
    if isinstance(loss, ProxyNCA):
        cosines = loss.assignment is None
    elif cosines:
        cosines = type(loss).class_costs is ProxyLoss.class_costs
    if not cosines or loss.per_class != 1:
        raise ValueError(
            "`loss` must have one proxy a class and compare by cosines alone, such as "
            f"`losses.ProxyNCA`. Received: loss={loss!r}."
        )
    if getattr(loss, "references", ()):
        raise ValueError(
            "`loss` must have no `references`: what is made up is of one replica's "
            f"batch. Received: references={loss.references}."
        )
    if loss.reduction != "sum_over_batch_size":
        raise ValueError(
            "`loss` must have the default reduction; give `reduction` to "
            f"`losses.ProxySynthesis` instead. Received: {loss.reduction}."
        )
