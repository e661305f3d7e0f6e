"""Manifold loss."""

import keras
from keras import ops

from kerasdml.layers import Proxies
from kerasdml.losses.base import ClassLoss
from kerasdml.ops import log1p_sum_exp, normalize, of_own

# Nodes of the walk. To invert their matrix takes about 10^11 operations at 4096.
_MOST = 4096


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class Manifold(ClassLoss):
    """Tells an example's proxy from others by random walks over examples and proxies.

    The n examples of the batch and the proxies are the nodes of a graph, whose edges
    weigh `exp(max(cos, 0) / temperature)`. With W these, scaled by the roots of the
    sums of their rows and columns, a walk that goes on with probability `persistence`
    ends in shares

        F = (1 - persistence) (I - persistence W)^-1

    An example's similarity to a proxy is its share F there, and also the cosine of
    their rows of F, how alike their walks end. For both, with `v` the excess of another
    proxy's similarity over that of the own one, plus `margin`,

        loss = log(1 + sum of exp(v) over the other proxies with v >= 0)

    and the cost is `share_weight` times that of the shares plus `context_weight` times
    that of the rows. It jumps from 0 to log(2) where v becomes positive.

    A step takes time in the cube of n + `num_classes`, and memory in its square, so
    that their sum must not exceed 4096. An example without a class is no node.

    Args:
        num_classes: Number of classes, from 2 to 4096 less the size of the batch.
        persistence: Probability that the walk goes on, above 0 and below 1.
            pytorch-metric-learning: 0.8.
        margin: At least 0. pytorch-metric-learning: 5e-4.
        temperature: Of the weights of edges, > 0. pytorch-metric-learning: 0.5.
        share_weight: At least 0. pytorch-metric-learning: 1.
        context_weight: At least 0. pytorch-metric-learning: 1.
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If an argument is outside its range, or there are too many nodes.

    Example:

    >>> model = kerasdml.MetricModel(embedder)
    >>> model.compile("adam", loss=kerasdml.losses.Manifold(num_classes=100))

    Source: Aziere and Todorovic, "Ensemble Deep Manifold Similarity Learning using Hard
    Proxies", CVPR 2019, in the form of pytorch-metric-learning, whose `meta_classes`,
    drawn at random if not given, are the labels here. Proxies start as N(0, 1).
    """

    def __init__(
        self,
        *,
        num_classes,
        persistence=0.8,
        margin=5e-4,
        temperature=0.5,
        share_weight=1.0,
        context_weight=1.0,
        **kwargs,
    ):
        super().__init__(num_classes=num_classes, **kwargs)
        _check_nodes(self.num_classes)
        if not 0 < persistence < 1 or margin < 0 or temperature <= 0:
            raise ValueError(
                "`persistence` must be in (0, 1), `margin` not negative and "
                f"`temperature` positive. Received: persistence={persistence}, "
                f"margin={margin}, temperature={temperature}."
            )
        if share_weight < 0 or context_weight < 0:
            raise ValueError(
                "`share_weight` and `context_weight` must not be negative. Received: "
                f"share_weight={share_weight}, context_weight={context_weight}."
            )
        self.persistence = persistence
        self.margin = margin
        self.temperature = temperature
        self.share_weight = share_weight
        self.context_weight = context_weight
        normal = keras.initializers.RandomNormal(stddev=1.0)
        self.proxies = Proxies(num_classes, normal)

    @property
    def layers(self):
        return [self.proxies]

    def class_costs(self, labels, embeddings):
        _check_nodes(self.num_classes + (embeddings.shape[0] or 0))
        own = labels[:, None] == ops.arange(self.num_classes, dtype=labels.dtype)
        n = ops.shape(labels)[0]
        points = ops.cast(self.proxies.points, embeddings.dtype)
        nodes = ops.concatenate([labels != -1, ops.ones(self.num_classes, "bool")])
        walks = self._walks(ops.concatenate([embeddings, points]), nodes)
        rows = normalize(walks)
        context = ops.matmul(rows[:n], ops.transpose(rows[n:]))
        costs = self.share_weight * self._excess(walks[:n, n:], own)
        return costs + self.context_weight * self._excess(context, own)

    def _walks(self, x, nodes):
        """Returns the shares `(n, n)` in which walks from `x (n, d)` end at each."""
        x = normalize(x)
        same = ops.eye(ops.shape(x)[0], dtype=x.dtype)
        cosines = ops.maximum(ops.matmul(x, ops.transpose(x)), 0.0)
        edges = ops.logical_and(nodes[:, None], nodes[None, :])
        weights = ops.exp(cosines / self.temperature) * ops.cast(edges, x.dtype)
        weights = weights * (1.0 - same)
        sums = ops.sum(weights, axis=1)
        roots = ops.where(sums > 0.0, ops.rsqrt(ops.where(sums > 0.0, sums, 1.0)), 0.0)
        weights = weights * roots[:, None] * roots
        return (1.0 - self.persistence) * ops.inv(same - self.persistence * weights)

    def _excess(self, similarities, own):
        excess = similarities - of_own(similarities, own) + self.margin
        counts = ops.logical_and(ops.logical_not(own), excess >= 0.0)
        counts = ops.logical_and(counts, ops.any(own, axis=1, keepdims=True))
        return log1p_sum_exp(excess, counts)


def _check_nodes(count):
    if count > _MOST:
        raise ValueError(
            "Manifold inverts a matrix of the size of the batch and `num_classes` "
            f"together, at most {_MOST}. Received: {count}."
        )
