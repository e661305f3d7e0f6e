"""Weighted sum of losses."""

import numbers

import keras
from keras import ops

from kerasdml.losses.base import MetricLoss
from kerasdml.step import step


class Parts(MetricLoss):
    """A loss made of others.

    What the parts train or remember, and the fields they need, are its own. Parts keep
    everything of their own but the reduction.

    Args:
        losses: Losses of `kerasdml.losses`, at least one, with different names.
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If there is no loss, if two have one name, if one is no loss of
            ours, or if one has a reduction other than the default.
    """

    def __init__(self, *, losses, **kwargs):
        super().__init__(**kwargs)
        self.losses = list(losses)
        _check_parts(self.losses)

    @property
    def parts(self):
        return self.losses

    @property
    def fields(self):
        return tuple({field: None for part in self.losses for field in part.fields})

    @property
    def per_anchor(self):
        return all(part.per_anchor for part in self.losses)

    @property
    def takes_tags(self):
        return all(part.takes_tags for part in self.losses)

    @property
    def layers(self):
        return list({id(x): x for part in self.losses for x in part.layers}.values())

    def build(self, dim):
        for part in self.losses:
            part.build(self.dim_of_part(dim))
        super().build(dim)

    def dim_of_part(self, dim):
        """Returns the size of what a part sees of embeddings of size `dim`."""
        return dim

    def check_labels(self, labels):
        for part in self.losses:
            part.check_labels(labels)

    def costs_of(self, part, labels, embeddings):
        """Returns a part's costs, `(q,)`, or the mean of such as are of no anchor.

        Their mean is recorded by the part's name.
        """
        costs = part.costs(labels, embeddings)
        mean = ops.mean(costs)
        step.record(part.name, mean)
        return costs if part.per_anchor else mean


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class Sum(Parts):
    """Adds losses, each with a weight: what `loss_a + 0.5 * loss_b` makes.

    Each part is in the logs of `kerasdml.MetricModel` by its name, before its weight.
    What the parts train or remember, and the fields they need, are the sum's. Parts
    keep everything of their own but the reduction, which is that of the sum.

    Args:
        losses: Losses of `kerasdml.losses`, at least one, with different names.
        weights: As many numbers; by default 1 each.
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If there is no loss, if two have one name, if there are not as many
            weights, if one is no loss of ours, or if one has a reduction other than the
            default; when called with `sample_weight` if a part cannot be weighted.

    Example:

    >>> hybrid = losses.MultiSimilarity() + 0.03 * losses.ProxyAnchor(num_classes=100)
    """

    def __init__(self, *, losses, weights=None, **kwargs):
        super().__init__(losses=losses, **kwargs)
        self.weights = [1.0] * len(self.losses) if weights is None else list(weights)
        if len(self.weights) != len(self.losses):
            raise ValueError(
                "`weights` must be as many as `losses`. Received: "
                f"{len(self.weights)} weights for {len(self.losses)} losses."
            )

    def costs(self, labels, embeddings):
        total = 0.0
        for part, weight in zip(self.losses, self.weights, strict=True):
            total = total + weight * self.costs_of(part, labels, embeddings)
        # One cost an anchor, also where all there is are means.
        return total + ops.zeros_like(embeddings[:, 0])


def added(loss, other):
    """Returns `loss + other`, as one flat `Sum`."""
    if not isinstance(other, MetricLoss):
        return NotImplemented
    terms = [_terms(loss), _terms(other)]
    losses, weights = zip(*(term for part in terms for term in part), strict=True)
    return Sum(losses=losses, weights=weights)


def times(loss, weight):
    """Returns `weight * loss` as a `Sum`."""
    if not isinstance(weight, numbers.Real):
        return NotImplemented
    losses, weights = zip(*_terms(loss), strict=True)
    return Sum(losses=losses, weights=[weight * x for x in weights])


def _terms(loss):
    if isinstance(loss, Sum):
        return list(zip(loss.losses, loss.weights, strict=True))
    return [(loss, 1.0)]


def _check_parts(losses):
    others = [part for part in losses if not isinstance(part, MetricLoss)]
    if not losses or others:
        raise ValueError(
            "`losses` must be one or more losses of `kerasdml.losses`. "
            f"Received: {others or losses}."
        )
    names = [part.name for part in losses]
    if len(set(names)) < len(names):
        raise ValueError(
            "The parts of a loss must have different names, by which they are in the "
            f"logs; give them `name=`. Received: {names}."
        )
    reductions = {part.reduction for part in losses}
    if reductions != {"sum_over_batch_size"}:
        raise ValueError(
            "The parts of a loss must have the default reduction; give `reduction` to "
            f"the whole instead. Received: {sorted(map(str, reductions))}."
        )
