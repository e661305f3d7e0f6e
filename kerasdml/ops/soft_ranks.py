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


def soft_rank_costs(similarities, positives, negatives, temperature, cost):
    """Sums a cost of the smooth rank over the positives of each anchor.

    Args:
        similarities: `(q, r)`.
        positives: `(q, r)` booleans.
        negatives: `(q, r)` booleans, disjoint from `positives`.
        temperature: By how much closer a reference must be to count as
            `sigmoid(1) = 0.73` of one, > 0; one that is as close counts as half.
        cost: Function of `a` and `b`, both `(q, 1)`: how many other positives, and how
            many negatives, are closer than the positive. Returns the cost `(q, n)` and
            the slopes of its sum over n by `a` and by `b`, both `(q, 1)`.

    Returns:
        `(q, n)` sums; the gradient is that of their sum over n. An anchor without
        positives has 0.
    """
    # What is in no pair is as far away as can be, and so never counts.
    pairs = ops.logical_or(positives, negatives)
    similarities = ops.where(pairs, similarities, _FAR)
    values = ops.stop_gradient(similarities)
    most = ops.max(ops.sum(ops.cast(positives, "int32"), axis=1))

    def add(state, positive, value):
        weights, total = state
        closer = ops.sigmoid((values - value) / temperature)
        # Of the positive itself, the sigmoid is 1/2.
        a = _row_sum(ops.where(positives, closer, 0.0)) - 0.5
        b = _row_sum(ops.where(positives, 0.0, closer))
        costs, slope_a, slope_b = cost(a, b)
        some = ops.any(positive, axis=1, keepdims=True)
        slope_a, slope_b = (
            ops.where(some, x / temperature, 0.0) for x in (slope_a, slope_b)
        )
        slope = ops.where(positives, slope_a, slope_b) * closer
        slope = slope - slope * closer
        weights = weights + slope - ops.where(positive, _row_sum(slope), 0.0)
        return weights, total + ops.where(some, costs, 0.0)

    # As `ops.zeros` these would be constants, held between the steps.
    weights = ops.cast(ops.logical_and(positives, negatives), values.dtype)
    total = ops.zeros_like(cost(weights[:, :1], weights[:, :1])[0])
    start = weights, total
    state = passes(add, start, values, positives, most, "int16")
    weights, total = (ops.stop_gradient(x) for x in state)
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
