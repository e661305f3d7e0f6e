"""Ranks that have a gradient, without comparing all with all.

The smooth rank of a positive p is 1 plus the sum, over what else is ranked, of
`sigmoid((s_j - s_p) / temperature)`, which counts what is closer to the anchor than p.
Written out that is a `(q, r, r)` array. Here one positive of each anchor is ranked at a
time, in O(q r p) for at most p positives an anchor, and what it costs is turned at once
into the weights of the pairs, the gradient, so that only `(q, r)` arrays are kept.
"""

import keras
from keras import ops

from kerasdml.ops.ranking import passes

_FAR = -1e30
# Parts of the anchors, by how many positives they have: a half, a quarter, …
_PARTS = 5


def soft_rank_costs(
    similarities, positives, negatives, temperature, cost, most_cost=None, of_rows=()
):
    """Sums a cost of the smooth rank over the positives of each anchor.

    Args:
        similarities: `(q, r)`.
        positives: `(q, r)` booleans.
        negatives: `(q, r)` booleans, disjoint from `positives`.
        temperature: By how much closer a reference must be to count as
            `sigmoid(1) = 0.73` of one, > 0; one that is as close counts as half.
        cost: Function of `a` and `b`, both `(rows, 1)`: how many other positives, and
            how many negatives, are closer than the positive. Returns the costs and
            their slopes by `a` and by `b`, each `(rows, n)`.
        most_cost: What a sum is at most, `(q, n)`; there its gradient is 0. By default
            it has no bound, which takes half the time.
        of_rows: `(q, …)` arrays, of whose rows `cost` gets those of its anchors, after
            `a` and `b`: it is called for a few anchors at a time.

    Returns:
        `(q, n)` sums; the gradient is that of their sum over n. An anchor without
        positives has 0.
    """
    # What is in no pair is as far away as can be, and so never counts.
    pairs = ops.logical_or(positives, negatives)
    similarities = ops.where(pairs, similarities, _FAR)
    rows = {"values": ops.stop_gradient(similarities), "positives": positives}
    rows["of_rows"] = tuple(of_rows)
    if most_cost is not None:
        rows["most_cost"] = most_cost
    weights, total = _by_count(lambda x: _ranked(**x, t=temperature, cost=cost), rows)
    slope = _row_sum(weights * similarities)
    # The difference is 0, and its gradient the weights.
    n = ops.cast(ops.shape(total)[1], total.dtype)
    return total + (slope - ops.stop_gradient(slope)) / n


def _by_count(function, rows):
    """Calls a function of rows, which takes as long as the most positives of any.

    Where some anchors have more than others it is called for the half of them that has
    fewest, for half of the rest, and so on: a large class makes few anchors wait.
    """
    count = ops.sum(ops.cast(rows["positives"], "int32"), axis=1)
    size = ops.shape(count)[0]

    def in_parts():
        order = ops.argsort(count)
        places = ops.argsort(order)
        ends = [size - size // 2**part for part in range(1, _PARTS)]
        found = []
        for start, end in zip([0, *ends], [*ends, size], strict=True):
            if isinstance(size, int) and start == end:
                continue  # of so few anchors
            found.append(function(_taken(rows, order[start:end])))
        joined = (ops.concatenate(x) for x in zip(*found, strict=True))
        return tuple(ops.take(x, places, axis=0) for x in joined)

    alike = ops.max(count) <= ops.min(count) + 1
    found = ops.cond(alike, lambda: function(rows), in_parts)
    return tuple(ops.stop_gradient(x) for x in found)


def _taken(rows, indices):
    return keras.tree.map_structure(lambda x: ops.take(x, indices, axis=0), rows)


def _ranked(values, positives, of_rows, t, cost, most_cost=None):
    """Returns the weights of the pairs, `(q, r)`, and the sums, `(q, n)`."""
    most = ops.max(ops.sum(ops.cast(positives, "int32"), axis=1))

    def compared(value):
        closer = ops.sigmoid((values - value) / t)
        # Of the positive itself, the sigmoid is 1/2.
        a = _row_sum(ops.where(positives, closer, 0.0)) - 0.5
        return closer, *cost(a, _row_sum(ops.where(positives, 0.0, closer)), *of_rows)

    def add(total, positive, value):
        _, costs, *_ = compared(value)
        some = ops.any(positive, axis=1, keepdims=True)
        return total + ops.where(some, costs, 0.0)

    def add_weights(state, positive, value):
        weights, total = state
        closer, costs, *slopes = compared(value)
        some = ops.any(positive, axis=1, keepdims=True)
        slope_a, slope_b = (
            _row_sum(ops.where(ops.logical_and(some, counts), x / t, 0.0))
            for x in slopes
        )
        slope = ops.where(positives, slope_a, slope_b) * closer
        slope = slope - slope * closer
        weights = weights + slope - ops.where(positive, _row_sum(slope), 0.0)
        return weights, total + ops.where(some, costs, 0.0)

    none = ops.zeros_like(values[:, :1])
    total = ops.zeros_like(cost(none, none, *of_rows)[0])
    counts = ops.ones_like(total, dtype="bool")
    if most_cost is not None:
        counts = passes(add, total, values, positives, most) < most_cost
    # All false. As `ops.zeros` the weights would be a constant, held between the steps,
    # and without `counts` they would be there before it is.
    beyond = ops.logical_and(values > float("inf"), counts[:, :1])
    weights = ops.cast(beyond, values.dtype)
    weights, total = passes(add_weights, (weights, total), values, positives, most)
    if most_cost is not None:
        total = ops.minimum(total, most_cost)
    return weights, total


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
