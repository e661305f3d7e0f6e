"""HIER: a hierarchy nobody labelled, as a term beside another loss."""

import keras
from keras import ops

from kerasdml.layers import HierarchicalProxies, Seed
from kerasdml.losses.base import MetricLoss
from kerasdml.ops.ancestors import (
    ancestor_cost,
    draw_triplets,
    keys,
    relations,
    uniform,
)
from kerasdml.ops.poincare import exp_at_origin, poincare_distances
from kerasdml.step import step


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class HIER(MetricLoss):
    """Finds a hierarchy above the classes: a term to be added to another loss.

    Embeddings and a number of trained proxies, the would-be nodes of a tree, lie in the
    Poincaré ball. Triplets of two related examples and an unrelated one are drawn, and
    for each a proxy as the ancestor of the two and one as that of all three: proxies
    close to the farthest of them. The first should be closer to the two than the second
    is, by `margin`, and the second closer to the unrelated one:

        [d_i(g) - d_i(h) + margin]+ + [d_j(g) - d_j(h) + margin]+
        + [d_k(h) - d_k(g) + margin]+

    with `g` and `h` the ancestors and `d_i` the hyperbolic distances of example i. The
    same is asked of triplets of proxies. The loss is the sum of both means, over all
    triplets. Examples are related if each is among the `top_k` nearest of the other,
    and at least two are. Without triplets, as in a batch of fewer than four, the
    examples cost nothing.

    Embeddings are read as tangents at the ball's centre, as by
    `similarity="hyperbolic"`, hence must not be scaled to length 1. Losses beside it
    that compare cosines are not concerned: the ball keeps directions.

    Memory is a few arrays of proxies x the larger of batch and proxies; neither the
    dimensions nor the number of triplets multiply it.

    Args:
        num_proxies: Trained nodes, at least 2. Authors' code: 512.
        margin: Difference of distances, at least 0. Authors' code: 0.1.
        temperature: Of the draw of ancestors, in units of distance, > 0. Authors' code:
            0.1.
        top_k: How many nearest count, the example itself among them, at least 3.
            Authors' scripts: 20.
        triplets: How many are drawn for each example and each proxy, at least 1.
            Authors' code: 50.
        use_labels: Whether examples of one class are nearer than all others when
            triplets are drawn, as in the authors' code; the paper describes neighbours
            whatever their classes. Without, labels are not looked at.
        collision: What becomes of a triplet whose two ancestors are one proxy: "mask",
            it costs nothing but counts, as in the authors' code; "exclude", the second
            is drawn among the others, as in the paper.
        exclude_self: Whether an example is never the unrelated one of its own triplet.
            Authors' code: false, by which two terms of such triplets cannot both be 0.
        curvature: c, > 0; the ball's curvature is -c. Authors' code: 0.1.
        clip: The length that longer embeddings are cut to, > 0. Authors' code: 2.3.
        riemannian_gradient: Whether gradients of proxies are scaled by the ball's
            metric, as in the authors' code; see `layers.ToPoincare`.
        in_ball: Whether the embeddings are points of the ball already: those of an
            embedder that ends in `layers.ToPoincare` of the same curvature. Then the
            losses beside it see points too, and their gradients are scaled, as in the
            authors' code. `similarity="hyperbolic"` would map them again.
        seed: Integer that the draws begin with; `None` takes a random one. Steps that
            do not train draw alike every time.
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If an argument is outside its range; when called with
            `sample_weight`, since triplets have no cost of one example.

    Example:

    >>> embedder = kerasdml.models.Embedder("resnet50", dim=128, normalize=False)
    >>> model = kerasdml.MetricModel(embedder, similarity="hyperbolic")
    >>> loss = losses.ProxyAnchor(num_classes=100) + 0.5 * losses.HIER()
    >>> model.compile("adam", loss=loss)

    The authors train these proxies 50 times faster than the rest:
    `keras.optimizers.MultiOptimizer` with the pattern
    `"(.*/)?hierarchical_proxies/.*"`.

    Source: Kim et al., "HIER: Metric Learning Beyond Class Labels via Hierarchical
    Regularization", CVPR 2023, https://arxiv.org/abs/2212.14258; values are those of
    the authors' code, with the weights 0.5 and 1 in its scripts; a linear layer on
    features that are not trained took 25 (`zoo/studies/hier.py`). Distances are exact
    where that code adds 1e-5 to a denominator, and ties at rank `top_k` are all among
    the nearest. `similarity="hyperbolic"` is of curvature -1: for ranks at -c, scale
    the embeddings by `√c`; where all are longer than `clip`, either ranks as cosines.
    """

    per_anchor = False

    def __init__(
        self,
        *,
        num_proxies=512,
        margin=0.1,
        temperature=0.1,
        top_k=20,
        triplets=50,
        use_labels=True,
        collision="mask",
        exclude_self=True,
        curvature=0.1,
        clip=2.3,
        riemannian_gradient=True,
        in_ball=False,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if margin < 0 or temperature <= 0:
            raise ValueError(
                "`margin` must not be negative and `temperature` positive. "
                f"Received: margin={margin}, temperature={temperature}."
            )
        if top_k < 3 or triplets < 1:
            raise ValueError(
                "`top_k` must be at least 3, an example and two others, and `triplets` "
                f"at least 1. Received: top_k={top_k}, triplets={triplets}."
            )
        if collision not in ("mask", "exclude"):
            raise ValueError(
                "`collision` must be 'mask' or 'exclude'. "
                f"Received: collision={collision!r}."
            )
        self.num_proxies = num_proxies
        self.margin = margin
        self.temperature = temperature
        self.top_k = top_k
        self.triplets = triplets
        self.use_labels = use_labels
        self.collision = collision
        self.exclude_self = exclude_self
        self.curvature = curvature
        self.clip = clip
        self.riemannian_gradient = riemannian_gradient
        self.in_ball = in_ball
        self.seed = seed
        self.proxies = HierarchicalProxies(
            num_proxies=num_proxies,
            curvature=curvature,
            clip=clip,
            riemannian_gradient=riemannian_gradient,
        )
        self.draws = Seed(seed=seed)

    @property
    def layers(self):
        return [self.proxies, self.draws]

    @property
    def takes_tags(self):
        return not self.use_labels

    def costs(self, labels, embeddings):
        """Returns `(1,)`, the loss."""
        points = embeddings
        if not self.in_ball:
            points = exp_at_origin(embeddings, self.curvature, self.clip)
        proxies = ops.cast(self.proxies.points(), points.dtype)
        closeness = ops.exp(-self._distances(ops.stop_gradient(points)))
        if self.use_labels:
            same = ops.logical_and(labels[:, None] == labels, labels != -1)
            closeness = closeness + ops.cast(same, closeness.dtype)
        between = self._distances(proxies)
        of_examples, of_proxies = ops.unstack(keys(2, self._key()), 2)
        cost = self._cost(closeness, self._distances(points, proxies), of_examples)
        # Of distances the order is that of exp(-distance).
        cost += self._cost(-ops.stop_gradient(between), between, of_proxies)
        return ops.reshape(cost, (1,))

    def _cost(self, closeness, distances, key):
        """Returns what triplets of nodes cost, by their distances from the proxies."""
        related, unrelated = relations(closeness, self.top_k, self.exclude_self)
        of_draws = keys(self.triplets + 1, key)
        shape = 2, *ops.shape(distances)

        def noise(t):
            drawn = uniform(shape, ops.take(of_draws, t, axis=0))
            return ops.cast(-ops.log(drawn), distances.dtype)

        return ancestor_cost(
            distances,
            draw_triplets(related, unrelated, self.triplets, of_draws[-1]),
            noise,
            self.temperature,
            self.margin,
            exclude=self.collision == "exclude",
        )

    def _distances(self, x, y=None):
        return poincare_distances(x, x if y is None else y, self.curvature)

    def _key(self):
        stream = self.draws.seed_generator
        return stream.next() if step.training else ops.zeros((2,), stream.state.dtype)
