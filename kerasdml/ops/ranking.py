"""Sums over triplets in O(q r log r), by sorting each anchor's similarities.

Written out, triplets fill a `(q, r, r)` array. But once an anchor's positives and
negatives are sorted together, a running count says how many triplets each of them
takes part in, and that is all a hinge needs: it is linear in the similarities.
"""

from keras import ops

# Similarities that differ by less than float32 resolves count as equal.
_RESOLUTION = 1e-6
# Sorts what is neither positive nor negative to the end; finite, so that 0 * it is 0.
_FAR = 1e30


def triplet_hinge(similarities, positives, negatives, margin):
    """Sums `max(s_n - s_p + margin, 0)` over each anchor's positives p and negatives n.

    Args:
        similarities: `(q, r)`.
        positives: `(q, r)` booleans.
        negatives: `(q, r)` booleans, disjoint from `positives`.
        margin: By how much a positive must be closer than a negative.

    Returns:
        `costs, counts`: two `(q,)`, the sum, and the number of triplets in it that are
        not 0. An anchor without positives or without negatives has 0 and 0.
    """
    values = ops.stop_gradient(similarities)
    # A triplet is active where the key of its negative exceeds that of its positive.
    # A key as large does not exceed: of equal ones, sort those of positives first.
    keys = ops.where(positives, _raised(values - margin), values)
    keys = ops.where(ops.logical_or(positives, negatives), keys, -_FAR)
    order = ops.argsort(-keys, axis=1)
    positive = ops.cast(_taken(positives, order), "int32")
    negative = ops.cast(_taken(negatives, order), "int32")
    negatives_above = positive * ops.cumsum(negative, axis=1)
    positives_above = ops.cumsum(positive, axis=1)
    positives_below = negative * (positives_above[:, -1:] - positives_above)
    counts = ops.cast(ops.sum(negatives_above, axis=1), values.dtype)
    # The sum is linear in the similarities: each active triplet adds its negative's
    # and subtracts its positive's, so the counts are its gradient, and all of it.
    weights = _put(ops.cast(positives_below - negatives_above, values.dtype), order)
    return ops.sum(weights * similarities, axis=1) + margin * counts, counts


def semi_hard_hinge(similarities, positives, negatives, hinge):
    """Sums `hinge(s_n - s_p)` over positives p, n the semi-hard negative of each.

    The semi-hard negative is the closest of those farther away than the positive; if
    none is, the farthest of all.

    Args:
        similarities: `(q, r)`.
        positives: `(q, r)` booleans.
        negatives: `(q, r)` booleans, disjoint from `positives`.
        hinge: Function of the violations `s_n - s_p`, elementwise.

    Returns:
        `costs, counts`: two `(q,)`, the sum, and the number of positives in it. An
        anchor without positives or without negatives has 0 and 0.
    """
    values = ops.stop_gradient(similarities)
    # A negative as close as the positive is not farther away: sort it after.
    keys = ops.where(positives, -_raised(-values), values)
    keys = ops.where(ops.logical_or(positives, negatives), keys, _FAR)
    order = ops.argsort(keys, axis=1)
    negative = ops.cast(_taken(negatives, order), "int32")
    # Of each place in that order, how many negatives come before the closest one so far:
    # none for the places before the first, which take the first, the farthest of all.
    rank = ops.maximum(ops.cumsum(negative, axis=1) - 1, 0)
    closest_first = _put(negative * order, rank)
    chosen = _put(_taken(closest_first, rank), order)
    violations = _taken(similarities, chosen) - similarities
    triplets = ops.logical_and(positives, ops.any(negatives, axis=1, keepdims=True))
    costs = ops.where(triplets, hinge(ops.where(triplets, violations, 0.0)), 0.0)
    counts = ops.sum(ops.cast(triplets, costs.dtype), axis=1)
    return ops.sum(costs, axis=1), counts


def _raised(x):
    return x + _RESOLUTION * (1.0 + ops.abs(x))


def _taken(x, columns):
    """Returns `(q, r)` the entry of each row of `x (q, r)` in each of its `columns`."""
    return ops.reshape(ops.take(ops.reshape(x, (-1,)), _places(columns)), ops.shape(x))


def _put(x, columns):
    """Adds each entry of `x (q, r)` to one of `columns (q, r)` of the same row."""
    places = ops.reshape(_places(columns), (-1,))
    q, r = ops.shape(x)
    sums = ops.segment_sum(ops.reshape(x, (-1,)), places, num_segments=q * r)
    return ops.reshape(sums, (q, r))


def _places(columns):
    """Returns the places of `columns (q, r)` in the flattened array.

    `take_along_axis` would do, but with several arrays of 64-bit indices.
    """
    q, r = ops.shape(columns)
    return columns + r * ops.arange(q, dtype=columns.dtype)[:, None]
