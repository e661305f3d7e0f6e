"""Recall at k, smoothed."""

import keras
from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.ops import soft_rank_costs


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class RecallAtK(PairLoss):
    """Maximizes the share of positives among each anchor's k closest, smoothly.

    For an anchor's positives P, of smooth rank r (1 plus, over every other reference j,
    `sigmoid((s_j - s_p) / temperature)`), averaged over the ks:

        recall_k = min(sum_P sigmoid((k - r_p) / k_temperature), k) / min(k, |P|)
        loss = 1 - mean of recall_k

    It is not 0 at its best: a positive at rank k counts half.
    No `(q, r, r)` array is built; the time is that of two passes over the pairs for
    each positive that an anchor has.

    Pair weight: of two references about as close, the slope of the sigmoid between
    them, times how near the positive's rank is to one of the ks.
    An anchor without positives or without negatives costs 0.

    Args:
        ks: The cut-offs, each at least 1. Paper: 1, 2, 4, 8 and 16.
        temperature: Of the ranks' sigmoid, in units of similarity, > 0. Paper: 0.01.
        k_temperature: Of the sigmoid at the cut-offs, in ranks, > 0. Paper: 1.
        **kwargs: `similarity`, `references`, `miner`, `average` ("anchors", the
            default, or "active"), and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `ks` is empty or has one below 1, or a temperature is not
            positive.

    Example:

    >>> model.compile("adam", loss=kerasdml.losses.RecallAtK(ks=[1, 10, 100]))

    Source: Patel et al., "Recall@k Surrogate Loss with Large Batches and Similarity
    Mixup", CVPR 2022, https://arxiv.org/abs/2108.11179. The authors' code ranks the
    anchor itself among the references, which puts everything one rank lower; here, as
    in the metric, it is left out. Similarity mix-up is not part of the loss.
    """

    def __init__(
        self, *, ks=(1, 2, 4, 8, 16), temperature=0.01, k_temperature=1.0, **kwargs
    ):
        super().__init__(**kwargs)
        if not ks or min(ks) < 1:
            raise ValueError(
                f"`ks` must be one or more numbers of at least 1. Received: ks={ks}."
            )
        if temperature <= 0 or k_temperature <= 0:
            raise ValueError(
                "`temperature` and `k_temperature` must be positive. Received: "
                f"temperature={temperature}, k_temperature={k_temperature}."
            )
        self.ks = list(ks)
        self.temperature = temperature
        self.k_temperature = k_temperature

    def pair_loss(self, similarities, positives, negatives):
        ks = ops.convert_to_tensor([self.ks], similarities.dtype)
        count = ops.sum(ops.cast(positives, ks.dtype), axis=1, keepdims=True)
        share = 1.0 / (len(self.ks) * ops.maximum(ops.minimum(ks, count), 1.0))

        def hits(a, b, share):
            hit = ops.sigmoid((ks - 1.0 - a - b) / self.k_temperature)
            slope = -share * hit * (1.0 - hit) / self.k_temperature
            return share * hit, slope, slope

        # Beyond k of them, further ones count no more.
        recalls = soft_rank_costs(
            similarities,
            positives,
            negatives,
            self.temperature,
            hits,
            most_cost=share * ks,
            of_rows=(share,),
        )
        some = ops.logical_and(ops.any(positives, axis=1), ops.any(negatives, axis=1))
        return ops.where(some, 1.0 - ops.sum(recalls, axis=1), 0.0)
