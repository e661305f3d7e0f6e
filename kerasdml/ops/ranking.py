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
    # A triplet is active where the key of its negative exceeds that of its positive.
    keys = ops.where(positives, similarities - margin, similarities)
    keys = ops.where(ops.logical_or(positives, negatives), keys, -_FAR)
    order = ops.argsort(ops.stop_gradient(-keys), axis=1)
    keys = ops.take_along_axis(keys, order, axis=1)
    positive = _reordered(positives, order, keys.dtype)
    negative = _reordered(negatives, order, keys.dtype)
    negatives_above = positive * ops.cumsum(negative, axis=1)
    positives_above = ops.cumsum(positive, axis=1)
    positives_below = negative * (positives_above[:, -1:] - positives_above)
    # Each active triplet adds its negative's key and subtracts its positive's.
    costs = ops.sum(keys * (positives_below - negatives_above), axis=1)
    return costs, ops.sum(negatives_above, axis=1)


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
    keys = ops.where(positives, values - _RESOLUTION * (1.0 + ops.abs(values)), values)
    keys = ops.where(ops.logical_or(positives, negatives), keys, _FAR)
    order = ops.argsort(keys, axis=1)
    negatives_below = ops.cumsum(_reordered(negatives, order, "int32"), axis=1)
    negative_order = ops.argsort(ops.where(negatives, values, _FAR), axis=1)
    chosen = ops.take_along_axis(
        negative_order, ops.maximum(negatives_below - 1, 0), axis=1
    )
    violations = ops.take_along_axis(similarities, chosen, axis=1)
    violations -= ops.take_along_axis(similarities, order, axis=1)
    triplets = ops.logical_and(
        ops.take_along_axis(positives, order, axis=1),
        ops.any(negatives, axis=1, keepdims=True),
    )
    costs = ops.where(triplets, hinge(ops.where(triplets, violations, 0.0)), 0.0)
    counts = ops.sum(ops.cast(triplets, costs.dtype), axis=1)
    return ops.sum(costs, axis=1), counts


def _reordered(mask, order, dtype):
    return ops.cast(ops.take_along_axis(mask, order, axis=1), dtype)
