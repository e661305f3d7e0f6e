"""Training on triplets made harder than those that the data has."""

import dataclasses
import inspect
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from kerasdml.layers import RunningMeans, Seed
from kerasdml.layers.proxies import check_num_classes
from kerasdml.losses import PairLoss
from kerasdml.losses.base import check_classes, per
from kerasdml.models.feature_networks import Discriminator, FeatureGenerator, frozen
from kerasdml.models.metric_model import MetricModel
from kerasdml.ops import flatten_labels, similarities
from kerasdml.ops.hard_samples import (
    reverse_triplet_hinge,
    row_distances,
    row_squares,
    stretched_pairs,
)
from kerasdml.references import References

LOGS = ("metric_loss", "discriminator_loss", "pair_loss", "negative_loss", "rho")


@keras.saving.register_keras_serializable(package="kerasdml.models")
class HardSampleGeneration(MetricModel):
    """A `MetricModel` that trains on generated triplets too, harder than the real ones.

    Features h are what a layer of the embedder gives, embeddings E(h) what the rest of
    it makes of them. Each anchor a of a batch draws a positive p and a negative n from
    the pairs that the loss's miner leaves, so that any miner chooses the triplets. Then

    1. the pair is stretched on its line towards the distance of the negative, in the
       space of features (`ops.hard_samples.stretched_pairs`), and a generator told the
       class brings both ends back to what features of that class look like: a', p';
    2. a second generator makes of a', p' and n a negative n' that is to be closer than
       the positive, E(a') to E(n') than E(a') to E(p'), but for a slack of rho times
       what the real triplet keeps (`ops.hard_samples.reverse_triplet_hinge`).

    A discriminator of the classes and of one more, "made up", tells both generators
    what features look like. The embedder pays

        (1 - share) * loss(batch) + share * loss(E(a'), E(p'), E(n'))

    with share = 1 - exp(-beta / J'), where J' is the running mean of what the
    generators pay; and rho = exp(-alpha / J), with J that of the real loss: the better
    the embedder, the farther the stretch and the smaller the slack.

    One step of `fit` is one of each of three optimizers, at the same weights: the costs
    of embedder, generators and discriminator are added, and the gradient of each is
    stopped before the weights of the others, which are disjoint. So Keras' own step
    trains them on every backend, and a saved model goes on exactly where it was, with
    the slots of all three. To take the steps one after the other would cost three
    backward passes, and the related system with published code does not either.

    The discriminator's softmax is over all classes, for nine times as many rows as a
    batch has: of many thousand classes it takes most of the time. 11,318 of them add
    190 MB to a checkpoint, slots included, for 512 features and the sizes here.

    `model(x, training=True)` gives features and embeddings; otherwise all is as in a
    `MetricModel`, and `embedder` has none of the above.

    Args:
        embedder: As in `MetricModel`.
        num_classes: Number of classes, at least 2; labels are 0 … num_classes - 1, or
            -1: no class, in no triplet.
        features: Name of the layer whose output, `(q, f)`, is the features; by default
            what goes into the layer "embedding", as in `models.Embedder`.
        alpha: How small the loss must be for triplets to be hard, > 0: `rho` is 0.37
            where the loss is `alpha`. A tenth of `losses.Triplet`'s margin.
        beta: Likewise of the generators' costs, for the share of made triplets, > 0.
        synthetic_share: That share, a constant from 0 to 1, instead.
        warmup_steps: Steps in which the share is 0. Generators and discriminator train
            from the first: optimizers that had idled would begin with a leap.
        stretch_limit: How many times as far apart a pair may be pulled, at least 1;
            `None` for no limit.
        pair_units: Sizes of the hidden layers of the first generator.
        negative_units: Likewise of the second.
        discriminator_units: Likewise of the discriminator.
        adversarial_weight: Of looking real, and of the right class, at least 0.
        reconstruction_weight: Of leaving pairs alone that were not stretched.
        stretch_weight: Of not undoing the stretch: the squared error of the distance.
        reverse_weight: Of the constraint on the negative.
        change_weight: Of the mean square by which the negative changes.
        pull_weight: Of the mean square between the negative and the anchor.
        backprop_through_synthetic: Whether made triplets train what computes features
            too, through the generators; else only what follows it.
        rate: Share of the newest step in the running means, above 0 and at most 1.
        seed: Integer that the drawing of triplets begins with; `None` takes a random
            one.
        **kwargs: `ks`, `similarity`, `metrics`, `name` of `MetricModel`.

    Raises:
        ValueError: If an argument is out of its range, or the embedder has no such
            layer.

    Example:

    >>> embedder = kerasdml.models.Embedder("conv4", dim=64)
    >>> model = kerasdml.models.HardSampleGeneration(embedder, num_classes=100)
    >>> model.compile("adam", loss=kerasdml.losses.Triplet(negatives="semi_hard"))

    Source: Zhu et al., "Construct Informative Triplet with Two-stage Hard-sample
    Generation", 2021, https://arxiv.org/abs/2112.02259. A reconstruction from the
    abstract: what it leaves open is taken from related systems, Zheng et al.,
    "Hardness-Aware Deep Metric Learning", CVPR 2019, https://arxiv.org/abs/1903.05503
    (rho, the shares, the first generator), Duan et al., "Deep Adversarial Metric
    Learning", CVPR 2018 (the second generator), and an adversarial generation of hard
    triplets (the discriminator of one class more). No weight, size or rate is from the
    paper. Where these related systems have sums, here are means, and hence another
    `alpha` and `beta`; generators begin as the identity; the second takes the first as
    it is, and has no part in its training.
    """

    def __init__(
        self,
        embedder,
        num_classes,
        *,
        features=None,
        alpha=0.01,
        beta=1.0,
        synthetic_share=None,
        warmup_steps=500,
        stretch_limit=None,
        pair_units=(512,),
        negative_units=(1024, 1024),
        discriminator_units=(512, 512),
        adversarial_weight=1.0,
        reconstruction_weight=1.0,
        stretch_weight=1.0,
        reverse_weight=1.0,
        change_weight=1.0,
        pull_weight=0.0,
        backprop_through_synthetic=True,
        rate=1 / 64,
        seed=None,
        **kwargs,
    ):
        super().__init__(embedder, **kwargs)
        self.num_classes = check_num_classes(num_classes)
        self.features = features
        self.alpha = alpha
        self.beta = beta
        self.synthetic_share = synthetic_share
        self.warmup_steps = warmup_steps
        self.stretch_limit = stretch_limit
        self.pair_units = list(pair_units)
        self.negative_units = list(negative_units)
        self.discriminator_units = list(discriminator_units)
        self.adversarial_weight = adversarial_weight
        self.reconstruction_weight = reconstruction_weight
        self.stretch_weight = stretch_weight
        self.reverse_weight = reverse_weight
        self.change_weight = change_weight
        self.pull_weight = pull_weight
        self.backprop_through_synthetic = backprop_through_synthetic
        self.rate = rate
        self.seed = seed
        self._check()
        self._parts = _split(embedder, features)
        dim = self._parts.head.input_shape[-1]
        self.pair_generator = FeatureGenerator(
            self.pair_units, dim, num_classes, name="pair_generator"
        )
        self.negative_generator = FeatureGenerator(
            self.negative_units, dim, name="negative_generator"
        )
        self.discriminator = Discriminator(
            self.discriminator_units, num_classes, name="discriminator"
        )
        # Of what the loss and what the generators cost.
        self.progress = RunningMeans(count=2, rate=rate, name="progress")
        self.draws = Seed(seed=seed, name="triplets")
        self.trackers = [keras.metrics.Mean(name) for name in LOGS]
        self.pair_generator.build(dim)
        self.negative_generator.build(3 * dim)
        self.discriminator.build(dim)
        self.progress.build(None)

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        *,
        generator_optimizer=None,
        discriminator_optimizer=None,
        **kwargs,
    ):
        """Configures training, as `MetricModel.compile` does.

        `model.optimizer` is a `keras.optimizers.MultiOptimizer` of the three. It has no
        learning rate of its own: let rates follow `keras.optimizers.schedules`.

        Args:
            optimizer: Of the embedder and of what the loss trains.
            loss: A loss of `kerasdml.losses` whose costs are those of pairs, such as
                `Triplet`: for the batch, and for the triplets that are made, which
                sample weights do not weigh.
            generator_optimizer: By default Adam at 0.001 with `beta_1=0.5`.
            discriminator_optimizer: By default Adam at 0.0001 with `beta_1=0.5`.
            **kwargs: As in `MetricModel.compile`.

        Raises:
            ValueError: If the loss is none of pairs, needs fields, or compares
                references with one another.
        """
        _check_loss(loss)
        # A saved model brings the three as one.
        if not isinstance(optimizer, keras.optimizers.MultiOptimizer):
            get, adam = keras.optimizers.get, keras.optimizers.Adam
            others = {
                "(pair|negative)_generator/.*": get(
                    generator_optimizer or adam(1e-3, beta_1=0.5)
                ),
                "discriminator/.*": get(
                    discriminator_optimizer or adam(1e-4, beta_1=0.5)
                ),
            }
            optimizer = keras.optimizers.MultiOptimizer(
                keras.optimizers.OptimizerMap(get(optimizer), others)
            )
        super().compile(optimizer, loss, **kwargs)

    def call(self, inputs, training=None):
        if not training:
            return self.embedder(inputs, training=False)
        features = self._parts.features(inputs, training=True)
        return features, self._parts.head(features, training=True)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        if not training:
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        features, embeddings = y_pred
        labels = flatten_labels(y["label"] if isinstance(y, dict) else y)
        outside = ops.any(ops.logical_or(labels < -1, labels >= self.num_classes))
        # Keras' mean, which divides by the replicas too, as what it returned is.
        scale = _mean(ops.ones_like(embeddings[:, 0]))
        penalties = scale * sum(map(ops.sum, self.losses))
        real = super().compute_loss(x, y, embeddings, sample_weight, True) - penalties
        rho, share = self._schedule()
        triplets = self._drawn(features, embeddings, labels)
        synthetic, discriminated, pair, negative = self._costs(triplets, rho)
        paid = [real / scale, *map(ops.mean, (discriminated, pair, negative))]
        self.progress.updated(ops.stack([paid[0], paid[2] + paid[3]]), training=True)
        for tracker, value in zip(self.trackers, [*paid, rho], strict=True):
            tracker.update_state(value)
        added = _mean(share * synthetic + discriminated + pair + negative)
        total = penalties + (1.0 - share) * real + added
        return ops.where(outside, float("nan"), total)

    def get_config(self):
        arguments = inspect.signature(type(self)).parameters.values()
        own = [x.name for x in arguments if x.kind is x.KEYWORD_ONLY]
        own = {name: getattr(self, name) for name in ["num_classes", *own]}
        return {**super().get_config(), **own}

    def _schedule(self):
        """Returns rho and the share of made triplets, of this step."""
        steps = ops.convert_to_tensor(self.progress.steps)
        means = ops.maximum(ops.convert_to_tensor(self.progress.means), 1e-6)
        scales = ops.convert_to_tensor([self.alpha, self.beta], means.dtype)
        faded = ops.where(steps > 0, ops.exp(-scales / means), 1.0)
        share = self.synthetic_share
        share = 1.0 - faded[1] if share is None else share
        return faded[0], ops.where(steps >= self.warmup_steps, share, 0.0)

    def _drawn(self, features, embeddings, labels):
        """Returns a triplet of each anchor."""
        features = ops.cast(features, "float32")
        rows = ops.arange(ops.shape(labels)[0], dtype="int32")
        batch = References(ops.stop_gradient(embeddings), labels, rows)
        _, positives, negatives = self.loss.pairs(batch, batch)
        some = ops.logical_and(ops.any(positives, axis=1), ops.any(negatives, axis=1))
        places = [rows, self._one_of(positives), self._one_of(negatives)]
        classes = ops.clip(labels, 0, self.num_classes - 1)
        count = ops.maximum(ops.sum(ops.cast(some, "float32")), 1.0)
        weights = ops.cast(ops.shape(rows)[0], "float32") / count
        return _Triplets(
            features=[ops.take(features, at, axis=0) for at in places],
            embeddings=[ops.take(batch.embeddings, at, axis=0) for at in places],
            # Of those without a class there is no triplet; others outside make the
            # loss NaN, where a lookup of them might stop it or not.
            labels=[ops.take(classes, at, axis=0) for at in places],
            some=some,
            weights=ops.where(some, weights, 0.0),
        )

    def _one_of(self, mask):
        """Draws a column of each row of `mask (q, r)`."""
        noise = keras.random.uniform(ops.shape(mask), seed=self.draws.seed_generator)
        return ops.argmax(ops.where(mask, noise, -1.0), axis=1)

    def _costs(self, triplets, rho):
        """Returns what is paid for each triplet, `(q,)` each.

        By the embedder, the discriminator and the first and the second generator.
        """
        still = triplets._replace(
            features=[ops.stop_gradient(x) for x in triplets.features]
        )
        generators = self.pair_generator, self.negative_generator
        made, distances = self._generated(still, rho, *generators, ops.stop_gradient)
        discriminated = self._discriminator_costs(still, made)
        pair = self._pair_costs(still, made, distances)
        negative = self._negative_costs(still, made, rho)
        if self.backprop_through_synthetic:
            made, _ = self._generated(triplets, rho, *map(frozen, generators))
        else:
            made = [ops.stop_gradient(x) for x in made]
        synthetic = self._synthetic_costs(made, triplets.some)
        costs = [triplets.weights * x for x in (discriminated, pair, negative)]
        return synthetic, *costs

    def _generated(self, triplets, rho, pair_generator, negative_generator, link=None):
        """Returns made triplets, and the distances that pairs were stretched to.

        The second generator is shown `link` of what the first made.
        """
        a, p, n = triplets.features
        reach = ops.stop_gradient(row_distances(a, n))
        *ends, distances = stretched_pairs(a, p, reach, rho, self.stretch_limit)
        pair = _changed(pair_generator, ends, triplets.labels[:2])
        shown = ops.concatenate([*(map(link, pair) if link else pair), n], axis=1)
        return [*pair, negative_generator(shown, n, training=True)], distances

    def _discriminator_costs(self, triplets, made):
        shown = [*triplets.features, *(ops.stop_gradient(x) for x in made)]
        fake = [ops.full_like(triplets.labels[0], self.num_classes)] * 3
        labels = [*triplets.labels, *fake]
        return sum(_cross_entropies(self.discriminator, shown, labels)) / 6.0

    def _pair_costs(self, triplets, made, distances):
        a, p, _ = made
        same = triplets.features[:2]
        again = _changed(self.pair_generator, same, triplets.labels[:2])
        real = _cross_entropies(frozen(self.discriminator), [a, p], triplets.labels[:2])
        moved = sum(map(row_squares, again, same)) / (2.0 * a.shape[1])
        undone = (row_distances(a, p) - ops.stop_gradient(distances)) ** 2
        return (
            self.adversarial_weight * sum(real) / 2.0
            + self.reconstruction_weight * moved
            + self.stretch_weight * undone
        )

    def _negative_costs(self, triplets, made, rho):
        a, p, n = [ops.stop_gradient(x) for x in made[:2]] + made[2:]
        dim = n.shape[1]
        za, zp, zn = _embedded(frozen(self._parts.head), [a, p, n])
        slack = rho * reverse_triplet_hinge(*triplets.embeddings, 0.0)
        (real,) = _cross_entropies(frozen(self.discriminator), [n], triplets.labels[2:])
        return (
            self.reverse_weight * reverse_triplet_hinge(za, zp, zn, slack)
            + self.adversarial_weight * real
            + self.change_weight * row_squares(n, triplets.features[2]) / dim
            + self.pull_weight * row_squares(n, a) / dim
        )

    def _synthetic_costs(self, made, some):
        """Returns the loss of made triplets alone: one positive, one negative each."""
        za, zp, zn = _embedded(self._parts.head, made)
        rows = ops.arange(ops.shape(za)[0], dtype="int32")
        s = ops.concatenate(
            [similarities(za, z, self.loss.similarity) for z in (zp, zn)], axis=1
        )
        own = ops.logical_and(rows[:, None] == rows, some[:, None])
        none = ops.zeros_like(own)
        positives = ops.concatenate([own, none], axis=1)
        negatives = ops.concatenate([none, own], axis=1)
        costs = self.loss.pair_cost(s, positives, negatives)
        if self.loss.average == "active":
            costs = per(ops.sum(ops.cast(costs > 0.0, "float32")), costs)
        return costs

    def _check_fields(self, fields):
        super()._check_fields(fields)
        if isinstance(fields["label"], np.ndarray):
            check_classes(fields["label"], self.num_classes)

    def _check(self):
        for name in ("alpha", "beta"):
            if getattr(self, name) <= 0:
                raise ValueError(
                    f"`{name}` must be positive. "
                    f"Received: {name}={getattr(self, name)}."
                )
        weights = [name for name in vars(self) if name.endswith("_weight")]
        for name in ("warmup_steps", *weights):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"`{name}` must not be negative. "
                    f"Received: {name}={getattr(self, name)}."
                )
        if self.synthetic_share is not None and not 0 <= self.synthetic_share <= 1:
            raise ValueError(
                "`synthetic_share` must be from 0 to 1, or None. "
                f"Received: synthetic_share={self.synthetic_share}."
            )
        if self.stretch_limit is not None and self.stretch_limit < 1:
            raise ValueError(
                "`stretch_limit` must be at least 1, or None. "
                f"Received: stretch_limit={self.stretch_limit}."
            )
        for name in ("pair_units", "negative_units", "discriminator_units"):
            units = getattr(self, name)
            if not units or min(units) < 1:
                raise ValueError(
                    f"`{name}` must be one or more sizes of at least 1. "
                    f"Received: {name}={units}."
                )


class _Triplets(NamedTuple):
    """A triplet of each anchor, where there is any.

    Attributes:
        features: `[anchors, positives, negatives]`, `(q, f)` each.
        embeddings: Likewise `(q, d)`, without a gradient.
        labels: Likewise `(q,)`.
        some: `(q,)` whether there is one.
        weights: `(q,)` whose products with costs have the mean of those there are.
    """

    features: Any
    embeddings: Any
    labels: Any
    some: Any
    weights: Any


@dataclasses.dataclass
class _Parts:
    """Two models of the embedder's layers; no container that Keras would look into."""

    features: keras.Model
    head: keras.Model


class _Mean(keras.losses.Loss):
    """The mean of costs as Keras takes it, over all replicas."""

    def call(self, y_true, y_pred):
        del y_true
        return y_pred


def _mean(costs):
    return _Mean(name="mean")(costs, costs)


def _split(embedder, name):
    """Returns the embedder up to its features, and from there on."""
    names = [layer.name for layer in embedder.layers]
    at = names.index(name or "embedding") if (name or "embedding") in names else None
    features = None if at is None else _graph_at(embedder.layers[at], before=not name)
    if len(getattr(features, "shape", ())) != 2:
        raise ValueError(
            "`features` must name a layer of the embedder that gives rows (q, f). "
            f"Received: features={name!r} (None: what goes into 'embedding') for the "
            f"layers {names}."
        )
    if isinstance(embedder, keras.Sequential):
        # Its layers are in several graphs once it is read from a file.
        at += bool(name)
        shape = embedder.input_shape[1:]
        first = keras.Sequential([keras.Input(shape), *embedder.layers[:at]])
        last = [keras.Input(features.shape[1:]), *embedder.layers[at:]]
        return _Parts(first, keras.Sequential(last))
    head = keras.Model(features, embedder.output)
    return _Parts(keras.Model(embedder.input, features), head)


def _graph_at(layer, before):
    return layer.input if before else layer.output


def _check_loss(loss):
    if (
        not isinstance(loss, PairLoss)
        or type(loss).cost is not PairLoss.cost
        or loss.needs_rows_of_references
        or loss.fields
    ):
        raise ValueError(
            "`loss` must be one of `kerasdml.losses` whose costs follow from pairs "
            "alone, without fields or rows of its references, such as "
            f"`losses.Triplet()`. Received: loss={loss!r}."
        )


def _changed(generator, features, labels):
    """Returns what a generator makes of several `(q, f)` at once, as a list."""
    x = ops.concatenate(features)
    x = generator(x, x, ops.concatenate(labels), training=True)
    return ops.split(x, len(features))


def _embedded(head, features):
    """Returns the embeddings of several `(q, f)`, as a list."""
    embeddings = head(ops.concatenate(features), training=True)
    return ops.split(ops.cast(embeddings, "float32"), len(features))


def _cross_entropies(discriminator, features, labels):
    """Returns a `(q,)` for each of several `(q, f)`, as a list."""
    logits = discriminator(ops.concatenate(features))
    costs = ops.sparse_categorical_crossentropy(
        ops.concatenate(labels), logits, from_logits=True
    )
    return ops.split(costs, len(features))
