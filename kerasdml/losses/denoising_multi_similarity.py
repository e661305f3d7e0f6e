"""Multi-Similarity loss of weighted samples."""

import keras
import numpy as np
from keras import ops

from kerasdml.layers import SampleWeights
from kerasdml.losses.base import PairLoss
from kerasdml.ops import log1p_sum_exp
from kerasdml.step import step


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class DenoisingMultiSimilarity(PairLoss):
    """Multi-Similarity pair by pair, each weighted by how both samples are trusted.

    With `s` the similarity of a pair and `v` the weights of its samples,

        l = log(1 + exp(-alpha * (s - base))) / alpha  of a positive pair
        l = log(1 + exp(+beta  * (s - base))) / beta   of a negative pair

    an anchor i costs the mean of `v_i v_j l_ij` over its pairs. The weights, in 0 … 1,
    are 1 until `callbacks.SelfPaced` sets them, between epochs, by what samples cost:
    one with a wrong label costs most, and ends at 0. A sample of weight 0 takes no
    part. No gradient flows to the weights. Without that callback all are 1.

    Pair weight: `v_i v_j sigmoid(-alpha (s - base))` of a positive, and
    `v_i v_j sigmoid(beta (s - base))` of a negative, over the anchor's pairs. An anchor
    without pairs costs 0.

    It needs the field "index", integers `(q,)`: the sample's position in the training
    set, which goes with it through shuffling and augmentation.

    Args:
        num_samples: Size of the training set; indices are 0 … num_samples - 1. An index
            outside is an error; in a compiled step, where it cannot be looked at, it
            turns the loss into NaN.
        alpha: Sharpness of the pull, per unit of similarity, > 0.
        beta: Sharpness of the push, per unit of similarity, > 0.
        base: The similarity at which a pair has half its weight.
        aggregation: "pairs", as above; or "log_sum_exp", `losses.MultiSimilarity` with
            weights inside its sums,
            `v_i (log(1 + sum_P v_j exp(-alpha (s - base))) / alpha + ...)`, which
            weighs an anchor's pairs by their hardness too, but is not what the weights
            are set by.
        **kwargs: `similarity`, `miner`, `average`, and Keras' `name`, `reduction`,
            `dtype`.

    Raises:
        ValueError: If `alpha` or `beta` is not positive, `aggregation` none of the
            above, `num_samples` below 1, or if there are `references`; in training, if
            there is no field "index".

    Example:

    >>> loss = kerasdml.losses.DenoisingMultiSimilarity(num_samples=len(images))
    >>> model.compile("adam", loss=loss)
    >>> y = {"label": labels, "index": np.arange(len(images))}
    >>> paced = kerasdml.callbacks.SelfPaced((images, labels))
    >>> model.fit(images, y, epochs=20, callbacks=[paced])

    Source: a reconstruction of Zhang et al., "Denoising Multi-Similarity Formulation: A
    Self-paced Curriculum-Driven Approach for Robust Metric Learning", AAAI 2023,
    https://doi.org/10.1609/aaai.v37i9.26324, from its abstract; its code is not public.
    That weights multiply in pairs, are balanced between classes and found by doubly
    stochastic steps is the paper's; the formula and every default are assumed here.
    """

    fields = ("index",)

    def __init__(
        self,
        *,
        num_samples,
        alpha=2.0,
        beta=50.0,
        base=0.5,
        aggregation="pairs",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if alpha <= 0 or beta <= 0:
            raise ValueError(
                "`alpha` and `beta` must be positive. "
                f"Received: alpha={alpha}, beta={beta}."
            )
        if aggregation not in ("pairs", "log_sum_exp"):
            raise ValueError(
                "`aggregation` must be 'pairs' or 'log_sum_exp'. "
                f"Received: aggregation={aggregation!r}."
            )
        if self.references:
            raise ValueError(
                "DenoisingMultiSimilarity knows the weights of the batch's samples "
                "alone, so it takes no `references`. "
                f"Received: references={self.references}."
            )
        self.num_samples = num_samples
        self.alpha = alpha
        self.beta = beta
        self.base = base
        self.aggregation = aggregation
        self.sample_weights = SampleWeights(num_samples=num_samples)

    @property
    def layers(self):
        return [*super().layers, self.sample_weights]

    def check_labels(self, labels):
        super().check_labels(labels)
        index = step.fields.get("index")
        if not isinstance(index, np.ndarray):
            return
        lowest, highest = np.min(index, initial=0), np.max(index, initial=0)
        if lowest < 0 or highest >= self.num_samples:
            raise ValueError(
                "The field 'index' must be 0 … num_samples - 1, the sample's position "
                f"in the training set. Received: {lowest} … {highest} for "
                f"num_samples={self.num_samples}."
            )

    def cost(self, anchors, references):
        index = ops.cast(ops.reshape(step.field("index"), (-1,)), "int32")
        weights = ops.cast(self.sample_weights.of(index), anchors.embeddings.dtype)
        costs = self.pair_loss(*self.pairs(anchors, references), weights)
        # Not by NaN weights alone: under XLA a maximum over NaN need not be NaN.
        return ops.where(ops.any(ops.isnan(weights)), float("nan"), costs)

    def pair_loss(self, similarities, positives, negatives, weights=None):
        if weights is None:
            weights = ops.ones_like(similarities[0])
        if self.aggregation == "log_sum_exp":
            return self._anchor_costs(similarities, positives, negatives, weights)
        pairs = ops.logical_or(positives, negatives)
        count = ops.sum(ops.cast(pairs, similarities.dtype), axis=1)
        costs = ops.where(pairs, self.pair_costs(similarities, positives), 0.0)
        return weights * ops.matmul(costs, weights) / ops.maximum(count, 1.0)

    def pair_costs(self, similarities, positives):
        """Returns l, `(q, r)`, of pairs that are positive or negative."""
        excess = similarities - self.base
        pull = ops.softplus(-self.alpha * excess) / self.alpha
        push = ops.softplus(self.beta * excess) / self.beta
        return ops.where(positives, pull, push)

    def _anchor_costs(self, similarities, positives, negatives, weights):
        some = weights > 0.0
        # A weight in a sum of exponentials is its logarithm in the exponent.
        logs = ops.log(ops.where(some, weights, 1.0))
        excess = similarities - self.base
        pull = log1p_sum_exp(
            -self.alpha * excess + logs, ops.logical_and(positives, some)
        )
        push = log1p_sum_exp(
            self.beta * excess + logs, ops.logical_and(negatives, some)
        )
        return weights * (pull / self.alpha + push / self.beta)
