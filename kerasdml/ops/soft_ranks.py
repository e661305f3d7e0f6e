"""Ranks that have a gradient, without comparing all with all.

The smooth rank of a positive p is 1 plus the sum, over what else is ranked, of
`sigmoid((s_j - s_p) / temperature)`, which counts what is closer to the anchor than p.
Written out that is a `(q, r, r)` array. Here one positive of each anchor is ranked at a
time, in O(q r p) for at most p positives an anchor, and what it costs is turned at once
into the weights of the pairs, the gradient, so that only `(q, r)` arrays are kept.
"""

from keras import ops

from kerasdml.ops.ranking import passes

_FAR = -1e30


def soft_rank_costs(
    similarities, positives, negatives, temperature, cost, most_cost=None
):
    """Sums a cost of the smooth rank over the positives of each anchor.

    Args:
        similarities: `(q, r)`.
        positives: `(q, r)` booleans.
        negatives: `(q, r)` booleans, disjoint from `positives`.
        temperature: By how much closer a reference must be to count as
            `sigmoid(1) = 0.73` of one, > 0; one that is as close counts as half.
        cost: Function of `a` and `b`, both `(q, 1)`: how many other positives, and how
            many negatives, are closer than the positive. Returns the costs and their
            slopes by `a` and by `b`, each `(q, n)`.
        most_cost: What a sum is at most, `(q, n)`; there its gradient is 0. By default
            it has no bound, which takes half the time.

    Returns:
        `(q, n)` sums; the gradient is that of their sum over n. An anchor without
        positives has 0.
    """
    # What is in no pair is as far away as can be, and so never counts.
    pairs = ops.logical_or(positives, negatives)
    similarities = ops.where(pairs, similarities, _FAR)
    values = ops.stop_gradient(similarities)
    most = ops.max(ops.sum(ops.cast(positives, "int32"), axis=1))

    def compared(value):
        closer = ops.sigmoid((values - value) / temperature)
        # Of the positive itself, the sigmoid is 1/2.
        a = _row_sum(ops.where(positives, closer, 0.0)) - 0.5
        return closer, *cost(a, _row_sum(ops.where(positives, 0.0, closer)))

    def add(total, positive, value):
        _, costs, *_ = compared(value)
        some = ops.any(positive, axis=1, keepdims=True)
        return total + ops.where(some, costs, 0.0)

    def add_weights(state, positive, value):
        weights, total = state
        closer, costs, *slopes = compared(value)
        some = ops.any(positive, axis=1, keepdims=True)
        slope_a, slope_b = (
            _row_sum(ops.where(ops.logical_and(some, counts), x / temperature, 0.0))
            for x in slopes
        )
        slope = ops.where(positives, slope_a, slope_b) * closer
        slope = slope - slope * closer
        weights = weights + slope - ops.where(positive, _row_sum(slope), 0.0)
        return weights, total + ops.where(some, costs, 0.0)

    none = ops.zeros_like(values[:, :1])
    total = ops.zeros_like(cost(none, none)[0])
    counts = ops.ones_like(total, dtype="bool")
    if most_cost is not None:
        counts = passes(add, total, values, positives, most) < most_cost
    # All false. As `ops.zeros` the weights would be a constant, held between the steps,
    # and without `counts` they would be there before it is.
    both = ops.logical_and(ops.logical_and(positives, counts[:, :1]), negatives)
    weights = ops.cast(both, values.dtype)
    state = passes(add_weights, (weights, total), values, positives, most)
    weights, total = (ops.stop_gradient(x) for x in state)
    if most_cost is not None:
        total = ops.minimum(total, most_cost)
    slope = _row_sum(weights * similarities)
    # The difference is 0, and its gradient the weights.
    n = ops.cast(ops.shape(total)[1], total.dtype)
    return total + (slope - ops.stop_gradient(slope)) / n


def with_anchor(positives, rows, copy_of):
    """Adds, to the positives of each anchor that has some, the anchor itself.

    Args:
        positives: `(q, r)` booleans.
        rows: `(q,)` the rows of the batch that the anchors are.
        copy_of: `(r,)` the row that a reference is the very same example as, or -1.
    """
    own = ops.cast(rows, "int32")[:, None] == ops.cast(copy_of, "int32")[None, :]
    own = ops.logical_and(own, ops.any(positives, axis=1, keepdims=True))
    return ops.logical_or(positives, own)


def _row_sum(x):
    return ops.sum(x, axis=1, keepdims=True)
