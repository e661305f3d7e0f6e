"""Contrastive Bayesian loss with metric variance constraint."""

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.miners import MultiSimilarity
from kerasdml.ops import log1p_sum_exp

AGGREGATIONS = ("log", "sqrt", "const")
VARIANCES = ("sum", "mean")


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class ContrastiveBayesian(PairLoss):
    """Weighs mined pairs exponentially, and keeps an anchor's negatives alike.

    For an anchor with similarities `s` to its positives P and negatives N, of which the
    hard ones P' and N' are selected as `miners.MultiSimilarity(epsilon=margin)` does:

        a = sum_P' exp((positive_base - s) / positive_temperature)
        b = sum_N' exp((s - negative_base) / negative_temperature)
        log:    log(1 + a) + log(1 + b)
        sqrt:   sqrt(1 + a) + sqrt(1 + b)
        const:  (1 + positive_weight * a) + (1 + negative_weight * b)
        loss = that + variance_weight * sum_N (s - mu)^2
        mu = variance_mix * mean_P s + (1 - variance_mix) * mean_N s

    Pair weight: the exponential of a hard pair over its temperature; for log divided by
    1 + a (or b), for sqrt by twice the root of that. The constraint draws all negatives
    towards mu, from above and, unlike other losses, from below, and it holds positives
    back. An anchor without a hard positive or without a hard negative costs 0,
    constraint included.

    Args:
        aggregation: "log" (the default, as in the authors' code), "sqrt" or "const".
        margin: How much easier than the hardest pair of the other kind a hard pair may
            be, in units of similarity, at least 0. Authors' code: 0.1.
        hardest: `None`, for negatives hard by `margin`, or the number of an anchor's
            most similar negatives that count as hard, at least 1 (more where some are
            equally similar). Authors' code: `None`, and 100 as an option.
        positive_base: The similarity at which a positive's exponential is 1. Authors'
            code: 0.5.
        positive_temperature: What changes it by a factor e, in units of similarity,
            > 0. Authors' code: 0.5.
        negative_base: The similarity at which a negative's exponential is 1. Authors'
            code: 1.0, so that with the temperature of 0.01 negatives below about 0.9
            are left to the constraint.
        negative_temperature: Likewise for negatives. Authors' code: 0.01.
        positive_weight: Weight of `a` in "const" alone, > 0. Authors' code: 0.25.
        negative_weight: Weight of `b` in "const" alone, > 0. Authors' code: 0.25.
        variance_weight: Weight of the constraint, at least 0. Authors' code: 1.
        variance_mix: The share of the positives in mu, 0 … 1. Authors' examples: 0.2,
            the default; the default of their code: 0.1.
        variance: "sum" over the negatives, as in the authors' code, or their "mean",
            which does not grow with the batch. Which of them the paper prints is
            unverified.
        **kwargs: `similarity`, `references`, `miner` (which narrows the pairs before
            all this), `average` ("anchors", the default, is the authors'), and Keras'
            `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> model.compile("adam", loss=kerasdml.losses.ContrastiveBayesian())

    Source: Kan et al., "Contrastive Bayesian Analysis for Deep Metric Learning", TPAMI
    2022, https://arxiv.org/abs/2210.04402, by the formulas of its authors' code; the
    paper's derivation was not consulted. That code tells an example from itself by a
    similarity below 1 - 1e-5, which also drops duplicates; here the position in the
    batch tells.
    """

    def __init__(
        self,
        *,
        aggregation="log",
        margin=0.1,
        hardest=None,
        positive_base=0.5,
        positive_temperature=0.5,
        negative_base=1.0,
        negative_temperature=0.01,
        positive_weight=0.25,
        negative_weight=0.25,
        variance_weight=1.0,
        variance_mix=0.2,
        variance="sum",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if aggregation not in AGGREGATIONS:
            raise ValueError(
                "`aggregation` must be one of 'log', 'sqrt' and 'const'. "
                f"Received: aggregation={aggregation!r}."
            )
        if variance not in VARIANCES:
            raise ValueError(
                f"`variance` must be 'sum' or 'mean'. Received: variance={variance!r}."
            )
        if positive_temperature <= 0 or negative_temperature <= 0:
            raise ValueError(
                "Temperatures must be positive. Received: "
                f"positive_temperature={positive_temperature}, "
                f"negative_temperature={negative_temperature}."
            )
        if positive_weight <= 0 or negative_weight <= 0:
            raise ValueError(
                "`positive_weight` and `negative_weight` must be positive. Received: "
                f"positive_weight={positive_weight}, negative_weight={negative_weight}."
            )
        if margin < 0 or variance_weight < 0 or not 0 <= variance_mix <= 1:
            raise ValueError(
                "`margin` and `variance_weight` must not be negative, and "
                f"`variance_mix` must be 0 … 1. Received: margin={margin}, "
                f"variance_weight={variance_weight}, variance_mix={variance_mix}."
            )
        if hardest is not None and hardest < 1:
            raise ValueError(
                f"`hardest` must be None or at least 1. Received: hardest={hardest}."
            )
        self.aggregation = aggregation
        self.margin = margin
        self.hardest = hardest
        self.positive_base = positive_base
        self.positive_temperature = positive_temperature
        self.negative_base = negative_base
        self.negative_temperature = negative_temperature
        self.positive_weight = positive_weight
        self.negative_weight = negative_weight
        self.variance_weight = variance_weight
        self.variance_mix = variance_mix
        self.variance = variance

    def pair_loss(self, similarities, positives, negatives):
        hard_positives, hard_negatives = self._hard(
            ops.stop_gradient(similarities), positives, negatives
        )
        pull = (self.positive_base - similarities) / self.positive_temperature
        push = (similarities - self.negative_base) / self.negative_temperature
        pull = log1p_sum_exp(pull, hard_positives)
        push = log1p_sum_exp(push, hard_negatives)
        costs = self._aggregated(pull, self.positive_weight)
        costs += self._aggregated(push, self.negative_weight)
        if self.variance_weight:
            variance = self._variance(similarities, positives, negatives)
            costs += self.variance_weight * variance
        valid = ops.logical_and(
            ops.any(hard_positives, axis=1), ops.any(hard_negatives, axis=1)
        )
        return ops.where(valid, costs, 0.0)

    def _hard(self, similarities, positives, negatives):
        mine = MultiSimilarity(epsilon=self.margin)
        hard, hard_negatives = mine(similarities, positives, negatives)
        if self.hardest is None:
            return hard, hard_negatives
        s = ops.where(negatives, similarities, float("-inf"))
        place = ops.maximum(ops.shape(s)[1] - self.hardest, 0)
        least = ops.take(ops.sort(s, axis=1), place, axis=1)[:, None]
        return hard, ops.logical_and(negatives, s >= least)

    def _aggregated(self, log1p_sum, weight):
        if self.aggregation == "log":
            return log1p_sum
        if self.aggregation == "sqrt":
            return ops.exp(log1p_sum / 2.0)
        return 1.0 + weight * ops.expm1(log1p_sum)

    def _variance(self, similarities, positives, negatives):
        """Returns `(q,)` how far the similarities to negatives are from mu."""
        mix = self.variance_mix
        mean = mix * _mean(similarities, positives)
        mean += (1.0 - mix) * _mean(similarities, negatives)
        squares = (similarities - mean[:, None]) ** 2
        if self.variance == "mean":
            return _mean(squares, negatives)
        return ops.sum(ops.where(negatives, squares, 0.0), axis=1)


def _mean(x, mask):
    """Returns `(q,)` the mean of each row's `x[mask]`; 0 where there is none."""
    count = ops.sum(ops.cast(mask, x.dtype), axis=1)
    return ops.sum(ops.where(mask, x, 0.0), axis=1) / ops.maximum(count, 1.0)
