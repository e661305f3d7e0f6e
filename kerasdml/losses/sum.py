"""Weighted sum of losses."""

import numbers

import keras
from keras import ops

from kerasdml.losses.base import MetricLoss
from kerasdml.step import step


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class Sum(MetricLoss):
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
        super().__init__(**kwargs)
        self.losses = list(losses)
        self.weights = [1.0] * len(self.losses) if weights is None else list(weights)
        _check_parts(self.losses, self.weights)

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
        self._dim = dim
        for part in self.losses:
            part.build(dim)

    def check_labels(self, labels):
        for part in self.losses:
            part.check_labels(labels)

    def costs(self, labels, embeddings):
        total = 0.0
        for part, weight in zip(self.losses, self.weights, strict=True):
            costs = part.costs(labels, embeddings)
            mean = ops.mean(costs)
            step.record(part.name, mean)
            total = total + weight * (costs if part.per_anchor else mean)
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


def _check_parts(losses, weights):
    others = [part for part in losses if not isinstance(part, MetricLoss)]
    if not losses or others:
        raise ValueError(
            "`losses` must be one or more losses of `kerasdml.losses`. "
            f"Received: {others or losses}."
        )
    if len(weights) != len(losses):
        raise ValueError(
            "`weights` must be as many as `losses`. "
            f"Received: {len(weights)} weights for {len(losses)} losses."
        )
    names = [part.name for part in losses]
    if len(set(names)) < len(names):
        raise ValueError(
            "The parts of a sum must have different names, by which they are in the "
            f"logs; give them `name=`. Received: {names}."
        )
    reductions = {part.reduction for part in losses}
    if reductions != {"sum_over_batch_size"}:
        raise ValueError(
            "The parts of a sum must have the default reduction; give `reduction` to "
            f"`losses.Sum` instead. Received: {sorted(map(str, reductions))}."
        )
