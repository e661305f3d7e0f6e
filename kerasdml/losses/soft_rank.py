"""The base of losses of smooth ranks."""

import abc

from keras import ops

from kerasdml.losses.base import PairLoss
from kerasdml.ops import soft_rank_costs, with_anchor


class SoftRankLoss(PairLoss):
    """The mean over each anchor's positives of a cost of their smooth ranks.

    With `closer(j, p) = sigmoid((s_j - s_p) / temperature)` for the positives P and
    negatives N of an anchor:

        a_p = sum_{P without p} closer(j, p)        b_p = sum_N closer(j, p)

    No `(q, r, r)` array is built: the time is one pass over the pairs for each positive
    that an anchor has. Anchors with few need not wait for those with many: the half
    with fewest is ranked apart, then half of the rest, and so on.

    Args:
        temperature: Of the sigmoid, in units of similarity, > 0.
        include_anchor: Whether the anchor is among its own positives, ranked first in
            its own list.
        **kwargs: `similarity`, `references`, `miner`, `average` ("anchors", the
            default, or "active"), and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `temperature` is not positive.
    """

    def __init__(self, *, temperature=0.01, include_anchor=False, **kwargs):
        super().__init__(**kwargs)
        if temperature <= 0:
            raise ValueError(
                f"`temperature` must be positive. Received: temperature={temperature}."
            )
        self.temperature = temperature
        self.include_anchor = include_anchor

    def pairs(self, anchors, references):
        similarities, positives, negatives = super().pairs(anchors, references)
        if self.include_anchor:
            rows = anchors.copy_of, references.copy_of
            positives = with_anchor(positives, *rows)
        return similarities, positives, negatives

    def pair_loss(self, similarities, positives, negatives):
        pairs = similarities, positives, negatives
        costs = soft_rank_costs(*pairs, self.temperature, self.rank_cost)[:, 0]
        count = ops.sum(ops.cast(positives, costs.dtype), axis=1)
        return costs / ops.maximum(count, 1.0)

    @abc.abstractmethod
    def rank_cost(self, a, b):
        """Returns the cost of `a (q, 1)` and `b (q, 1)`, and its slopes by either."""
