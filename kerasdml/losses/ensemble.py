"""Ensembles of losses, with trained weights."""

import abc
import itertools

import keras
from keras import ops

from kerasdml.layers import EnsembleWeights, RunningMeans
from kerasdml.losses.sum import Parts
from kerasdml.ops import normalize, safe_sqrt
from kerasdml.step import step


class _Balanced(Parts):
    """The parts in one size, weighted, with a penalty that holds the weights' sum.

    Args:
        losses: As in `Parts`.
        penalty: As in `Ensemble`.
        rate: As in `Ensemble`.
        **kwargs: Keras' `name`, `reduction`, `dtype`.
    """

    def __init__(self, *, losses, penalty=1e4, rate=None, **kwargs):
        super().__init__(losses=losses, **kwargs)
        if penalty < 0:
            raise ValueError(
                f"`penalty` must not be negative. Received: penalty={penalty}."
            )
        self.penalty = penalty
        self.rate = rate
        self.means = RunningMeans(count=len(self.losses), rate=rate)

    @property
    def layers(self):
        return [*super().layers, self.means]

    def costs(self, labels, embeddings):
        weights, heads = self.weights_and_heads(embeddings)
        costs = [
            self.costs_of(part, labels, head)
            for part, head in zip(self.losses, heads, strict=True)
        ]
        values = ops.stack([ops.mean(x) for x in costs])
        means = ops.cast(self.means.updated(values, step.training), values.dtype)
        # A part that was 0 so far, as triplets none of which violates, stays at 0.
        means = ops.maximum(means, 1e-8)
        scales = ops.unstack(weights * (ops.mean(means) / means), len(costs))
        total = sum(scale * x for scale, x in zip(scales, costs, strict=True))
        total += self.penalty * (ops.sum(weights) - 1.0) ** 2
        # One cost an anchor, also where all there is are means.
        return total + self.of_heads(heads) + ops.zeros_like(embeddings[:, 0])

    @abc.abstractmethod
    def weights_and_heads(self, embeddings):
        """Returns the weights `(m,)` and what each of the m parts compares."""

    def of_heads(self, heads):
        """Returns what the heads cost together."""
        del heads
        return 0.0


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class Ensemble(_Balanced):
    """Trains one embedding by several losses, whose weights are trained along (WEL).

        loss = sum over i of w_i * mean(l') / l'_i * l_i + penalty * (sum(w) - 1)^2

    with `l'_i` the mean of the i-th loss over all steps so far, this one included,
    taken as a constant: all losses come in one size. The weights w are
    `layers.EnsembleWeights`, none of which falls below a floor. They drift to the loss
    that has fallen most beside its own past, not to the one that is hardest.

    Each part is in the logs of `kerasdml.MetricModel` by its name, before its weight,
    and no part may be negative. `loss.weighting.values` are the weights. An optimizer
    finds them by their path, such as `ensemble/ensemble_weights/roots`; weight decay,
    which they should not have, by `exclude_from_weight_decay(var_names=["roots"])`.

    Args:
        losses: Losses of `kerasdml.losses`, at least one, with different names.
        prior: One positive number a loss, in proportion to which the weights begin;
            `None`: all equal. Released code: 2, 1, 2, 3 for a classifier, triplets,
            binomial deviance and Proxy-NCA.
        floor: Least weight, in parts of 1 / m for m losses; at least 0, and below every
            share of the prior. Released code: 0.25.
        penalty: Weight of the term that holds the weights' sum at 1, at least 0.
            Released code: 1e4.
        rate: Share of the newest step in the means, above 0 and at most 1; `None`: the
            plain mean of all steps, as in the released code, though it is called a
            moving one there.
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `losses` are not as above, or another argument is outside its
            range; when called with `sample_weight` if a part cannot be weighted.

    Example:

    >>> proxies = losses.ProxyNCA(num_classes=100)
    >>> parts = losses.Triplet(), losses.BinomialDeviance(), proxies
    >>> model.compile("adam", loss=losses.Ensemble(losses=parts, prior=[1, 2, 3]))

    Source: Zabihzadeh et al., "Ensemble of Loss Functions to Improve Generalizability
    of Deep Metric Learning Methods", Multimedia Tools and Applications 2023,
    https://arxiv.org/abs/2107.01130, from its abstract and the released code. Of the
    losses there, the classifier, a linear layer with smoothed labels, has no equal
    here; `losses.NormalizedSoftmax` comes close.
    """

    def __init__(self, *, losses, prior=None, floor=0.25, **kwargs):
        super().__init__(losses=losses, **kwargs)
        self.prior = None if prior is None else list(prior)
        self.floor = floor
        self.weighting = EnsembleWeights(
            count=len(self.losses), prior=prior, floor=floor
        )

    @property
    def layers(self):
        return [*super().layers, self.weighting]

    def weights_and_heads(self, embeddings):
        weights = ops.cast(self.weighting.values, embeddings.dtype)
        return weights, [embeddings] * len(self.losses)


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class DiverseEnsemble(_Balanced):
    """Trains a head by each of several losses, and the heads apart (WEDL).

    The embedding is that of `models.EnsembleEmbedder`: m heads one after another, the
    i-th for the i-th loss, a unit vector scaled by the root of its weight. The loss is
    that of `Ensemble`, with these weights, plus

        diversity * max(0, 2 - mean distance of two heads of an example)

    in which heads are unit vectors again, so that 2 is as far apart as two can be. What
    the embedder gives is thus the ensemble's embedding at any time: the squared
    distance of two is the sum of the heads' own, by their weights. The weights are the
    embedder's, `embedder.get_layer("weighted_heads").values`, where `prior` and `floor`
    are given too.

    Args:
        losses: Losses of `kerasdml.losses`, with different names, as many as heads.
        diversity: Weight of the term above, at least 0. Released code: 0.1 in the
            stored best run, 0.01 in the demonstration.
        penalty: Weight of the term that holds the weights' sum at 1, at least 0.
            Released code: 1e4.
        rate: Share of the newest step in the means of the losses, as in `Ensemble`.
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `losses` are not as above, if an argument is outside its range,
            or if the embeddings' size is no multiple of their number.

    Example:

    >>> proxies = losses.ProxyNCA(num_classes=100)
    >>> parts = losses.Triplet(), losses.BinomialDeviance(), proxies
    >>> features = kerasdml.models.Embedder("resnet50", dim=512, normalize=False)
    >>> embedder = kerasdml.models.EnsembleEmbedder(features, heads=3, dim=64)
    >>> model = kerasdml.MetricModel(embedder)
    >>> model.compile("adam", loss=losses.DiverseEnsemble(losses=parts))

    Source: as of `Ensemble`, whose released code adds 1e-6 to each coordinate of the
    heads' difference; here heads that are equal have no gradient.
    """

    def __init__(self, *, losses, diversity=0.1, **kwargs):
        super().__init__(losses=losses, **kwargs)
        if diversity < 0:
            raise ValueError(
                f"`diversity` must not be negative. Received: diversity={diversity}."
            )
        self.diversity = diversity

    def dim_of_part(self, dim):
        count = len(self.losses)
        if dim % count:
            raise ValueError(
                f"DiverseEnsemble needs one head for each of its {count} losses, as "
                "`models.EnsembleEmbedder` gives: embeddings whose size is a multiple "
                f"of {count}. Received: size {dim}."
            )
        return dim // count

    def weights_and_heads(self, embeddings):
        heads = ops.split(embeddings, len(self.losses), axis=1)
        squares = [ops.mean(ops.sum(head**2, axis=1)) for head in heads]
        return ops.stack(squares), [normalize(head) for head in heads]

    def of_heads(self, heads):
        pairs = list(itertools.combinations(heads, 2))
        if not pairs or not self.diversity:
            return 0.0
        squares = ops.stack([ops.sum((a - b) ** 2, axis=1) for a, b in pairs])
        return self.diversity * ops.relu(2.0 - ops.mean(safe_sqrt(squares)))
