"""Sums over triplets without writing them out.

Written out, triplets fill a `(q, r, r)` array. But a hinge over all of them is linear
in the similarities, so that what each pair counts, its weight, is all one needs; and a
semi-hard triplet is known by its positive and by which negative goes with it. Both are
found without a gradient, in one `(q, r)` array, by whichever of two ways is faster:

- where anchors have few positives, as in batches of a few examples a class, by a pass
  over the negatives for each, in O(q r p);
- else by sorting each anchor's positives and negatives together, in O(q r log r).
"""

from keras import ops

# Similarities that differ by less than float32 resolves count as equal.
_RESOLUTION = 1e-6
# How many passes take as long as the sort, on the CPU.
FEW = 16


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
    # A triplet is active where the negative exceeds the positive lowered by the margin;
    # one that exceeds it by rounding alone is as close.
    weights = _found(
        _weights_by_passes,
        _weights_by_sorting,
        ops.stop_gradient(similarities),
        positives,
        negatives,
        lambda x: _raised(x - margin),
    )
    counts = ops.sum(ops.where(negatives, weights, 0.0), axis=1)
    return ops.sum(weights * similarities, axis=1) + margin * counts, counts


def semi_hard_hinge(similarities, positives, negatives, hinge, swap=False):
    """Sums `hinge(s_n - s_p)` over positives p, n the semi-hard negative of each.

    The semi-hard negative is the closest of those farther away than the positive; if
    none is, the farthest of all.

    Args:
        similarities: `(q, r)`.
        positives: `(q, r)` booleans.
        negatives: `(q, r)` booleans, disjoint from `positives`.
        hinge: Function of the violations `s_n - s_p`, elementwise.
        swap: Whether a negative is as close as it is to the closer of anchor and
            positive, which takes a pass for each positive; `r` must be `q`.

    Returns:
        `costs, counts`: two `(q,)`, the sum, and the number of positives in it. An
        anchor without positives or without negatives has 0 and 0.
    """
    pairs = ops.stop_gradient(similarities), positives, negatives
    if swap:
        chosen = ops.stop_gradient(_chosen_with_swap(*pairs))
    else:
        chosen = _found(_chosen_by_passes, _chosen_by_sorting, *pairs, _lowered)
    violations = _taken(similarities, chosen) - similarities
    triplets = ops.logical_and(positives, ops.any(negatives, axis=1, keepdims=True))
    costs = ops.where(triplets, hinge(ops.where(triplets, violations, 0.0)), 0.0)
    counts = ops.sum(ops.cast(triplets, costs.dtype), axis=1)
    return ops.sum(costs, axis=1), counts


def triplet_counts(similarities, positives, negatives, margin):
    """Counts the triplets in which `s_n >= s_p - margin`, up to rounding, by pair.

    Args:
        similarities: `(q, r)`.
        positives: `(q, r)` booleans.
        negatives: `(q, r)` booleans, disjoint from `positives`.
        margin: By how much a positive p may be closer than the negative n.

    Returns:
        `(q, r)` floats: of a positive the negatives it is in such a triplet with, of a
        negative the positives, and 0 of what is neither.
    """
    pairs = ops.stop_gradient(similarities), positives, negatives
    weights = _found(
        _weights_by_passes, _weights_by_sorting, *pairs, lambda x: _lowered(x - margin)
    )
    return ops.abs(weights)


def semi_hard_pairs(similarities, positives, negatives):
    """Selects positives that have a semi-hard negative, and these negatives.

    It is the closest of the negatives that are farther away than the positive, by more
    than rounding.

    Args:
        similarities: `(q, r)`.
        positives: `(q, r)` booleans.
        negatives: `(q, r)` booleans, disjoint from `positives`.

    Returns:
        `positives, negatives`: two `(q, r)` booleans.
    """
    pairs = ops.stop_gradient(similarities), positives, negatives
    chosen = _found(_chosen_by_passes, _chosen_by_sorting, *pairs, _lowered)
    farther = _taken(pairs[0], chosen) < _lowered(pairs[0])
    some = ops.logical_and(positives, ops.any(negatives, axis=1, keepdims=True))
    kept = ops.logical_and(some, farther)
    return kept, _put(ops.cast(kept, "int32"), chosen, kept) > 0


def _raised(x):
    return x + _RESOLUTION * (1.0 + ops.abs(x))


def _lowered(x):
    # A negative as close as the positive, but for rounding, is not farther away.
    return -_raised(-x)


def _found(by_passes, by_sorting, *pairs):
    """Calls the faster of two functions of `values, positives, negatives, moved`.

    Their last argument moves the values of positives to where they compare with those
    of negatives: a negative is beyond a positive if its value is beyond the moved one.
    """
    _, positives, *_ = pairs
    most = ops.max(ops.sum(ops.cast(positives, "int32"), axis=1))
    return ops.stop_gradient(
        ops.cond(
            most <= FEW, lambda: by_passes(*pairs, most), lambda: by_sorting(*pairs)
        )
    )


def _weights_by_passes(values, positives, negatives, moved, most):
    """Returns `(q, r)` in how many active triplets a pair is, below 0 for positives."""

    def count(weights, positive, value):
        some = ops.any(positive, axis=1, keepdims=True)
        active = ops.logical_and(negatives, values > moved(value))
        active = ops.cast(ops.logical_and(active, some), values.dtype)
        pulls = ops.sum(active, axis=1, keepdims=True)
        return ops.where(positive, -pulls, weights + active)

    # No pair is both. As `ops.zeros` this would be a constant, held between the steps.
    zeros = ops.cast(ops.logical_and(positives, negatives), values.dtype)
    return passes(count, zeros, values, positives, most)


def _chosen_by_passes(values, positives, negatives, moved, most):
    """Returns `(q, r)` the place of the semi-hard negative of each positive."""
    farthest = _argmax(-values, negatives)

    def choose(chosen, positive, value):
        farther = ops.logical_and(negatives, values < moved(value))
        some = ops.any(farther, axis=1, keepdims=True)
        closest = ops.where(some, _argmax(values, farther), farthest)
        return ops.where(positive, _places(closest, values), chosen)

    return passes(choose, ops.cast(positives, "int32"), values, positives, most)


def _chosen_with_swap(values, positives, negatives):
    """Returns the same where negatives may be taken from the row of the positive."""

    def choose(chosen, positive, value):
        partner = ops.cast(ops.argmax(positive, axis=1), "int32")
        closer = ops.maximum(values, ops.take(values, partner, axis=0))
        farther = ops.logical_and(negatives, closer < _lowered(value))
        some = ops.any(farther, axis=1, keepdims=True)
        # The closest of the farther, or else the farthest of all.
        allowed = ops.where(some, farther, negatives)
        column = _argmax(ops.where(some, closer, -closer), allowed)
        own = _places(column, values)
        of_partner = column + ops.shape(values)[1] * partner[:, None]
        is_closer = _taken(values, of_partner) > _taken(values, own)
        return ops.where(positive, ops.where(is_closer, of_partner, own), chosen)

    most = ops.max(ops.sum(ops.cast(positives, "int32"), axis=1))
    start = ops.cast(positives, "int32")
    return passes(choose, start, values, positives, most)


def passes(step, state, values, positives, most):
    """Applies `state = step(state, positive, value)` to each anchor's next positive.

    Args:
        step: Function of the state, the `(q, r)` boolean that is true of the positive,
            and its `(q, 1)` value: 0 for an anchor that has no further one.
        state: `(q, r)`, or a tuple of such.
        values: `(q, r)`.
        positives: `(q, r)` booleans.
        most: The number of passes, the most positives that an anchor has.
    """
    r = ops.shape(values)[1]
    columns = ops.arange(r, dtype="int32")[None]

    # To number the positives by `cumsum` would take as long as many passes.
    def body(i, column, state):
        later = ops.logical_and(positives, columns > column)
        column = ops.min(ops.where(later, columns, r), axis=1, keepdims=True)
        value = _taken(values, _places(ops.minimum(column, r - 1), values))
        value = ops.where(column < r, value, 0.0)
        state = step(state, columns == column, value)
        return _after(i, state), column, state

    before = -ops.ones_like(positives[:, :1], dtype="int32")
    start = ops.zeros((), "int32"), before, state
    return ops.while_loop(lambda i, *_: i < most, body, start)[2]


def listed_columns(mask, count):
    """Returns the first `count` columns that `mask (q, r)` selects, row by row.

    Returns:
        `columns (q, count)` and `listed (q, count)`, whether `mask` selects them: rows
        with fewer are filled up with others.
    """
    columns = ops.shape(mask)[1]
    mask = ops.pad(mask, [[0, 0], [0, count]], constant_values=False)
    listed, found = ops.top_k(ops.cast(mask, "int32"), count)
    return ops.minimum(ops.cast(found, "int32"), columns - 1), listed > 0


def products_of_rows(rows, columns, most):
    """Multiplies each row with those listed for it: `(q, m)` sums of products.

    Args:
        rows: `(q, r)`.
        columns: `(q, m)` integers, the rows to multiply each row with.
        most: How many of the m to go through, an integer; of others it gives 0.
    """

    def multiply(i, sums):
        found = ops.sum(rows * ops.take(rows, columns[:, i], axis=0), axis=1)
        return ops.where(places == i, found[:, None], sums)

    places = ops.arange(ops.shape(columns)[1], dtype="int32")
    return _repeated(multiply, ops.zeros_like(columns, dtype=rows.dtype), most)


def sums_of_rows(rows, columns, weights, most):
    """Sums the rows listed for each row, with `weights (q, m)`: `(q, r)`.

    Args:
        rows: `(q, r)`.
        columns: `(q, m)` integers, the rows to sum.
        weights: `(q, m)`.
        most: How many of the m to go through, an integer.
    """

    def add(i, sums):
        return sums + weights[:, i, None] * ops.take(rows, columns[:, i], axis=0)

    # As `ops.zeros` this would be a constant, held between the steps.
    return _repeated(add, 0.0 * rows, most)


def spread(x, columns, like):
    """Puts `x (q, m)` in its columns of as many as `like` has, in sum: `(q, r)`."""
    return _put(x, _places(columns, like), like)


def _repeated(step, state, times):
    """Applies `state = step(i, state)` that often."""

    def body(i, state):
        state = step(i, state)
        return _after(i, state), state

    start = ops.zeros((), "int32"), state
    return ops.while_loop(lambda i, _: i < times, body, start)[1]


def _after(i, state):
    """Returns `i + 1`, but read from the state.

    Or else TensorFlow would run several passes at once, each with arrays of its own.
    """
    first = state[0] if isinstance(state, tuple) else state
    first = ops.cast(first[0, 0], "float32")
    none = ops.logical_and(ops.isfinite(first), ops.isnan(first))
    return i + 1 + ops.cast(none, "int32")


def _weights_by_sorting(values, positives, negatives, moved):
    """Returns what `_weights_by_passes` does."""
    keys = ops.where(positives, moved(values), values)
    keys = ops.where(ops.logical_or(positives, negatives), keys, float("-inf"))
    order = _places(ops.argsort(-keys, axis=1), keys)
    positive = ops.cast(_taken(positives, order), "int32")
    negative = ops.cast(_taken(negatives, order), "int32")
    pulls = positive * ops.cumsum(negative, axis=1)
    passed = ops.cumsum(positive, axis=1)
    pushes = negative * (passed[:, -1:] - passed)
    return _put(ops.cast(pushes - pulls, keys.dtype), order, keys)


def _chosen_by_sorting(values, positives, negatives, moved):
    """Returns what `_chosen_by_passes` does."""
    keys = ops.where(positives, moved(values), values)
    keys = ops.where(ops.logical_or(positives, negatives), keys, float("inf"))
    order = _places(ops.argsort(keys, axis=1), keys)
    negative = ops.cast(_taken(negatives, order), "int32")
    # Counting from the farthest, the last negative counted is the one to choose; where
    # none is counted yet, the first, which is the farthest of all.
    last = _places(ops.maximum(ops.cumsum(negative, axis=1) - 1, 0), keys)
    counted = _put(negative * order, last, keys)
    return _taken(counted, _put(last, order, keys))


def _argmax(x, mask):
    """Returns `(q, 1)` the column of the largest of each row's `x[mask]`."""
    return ops.top_k(ops.where(mask, x, float("-inf")), 1)[1]


def _places(columns, like):
    """Returns where `columns (q, …)` of the rows of `like (q, r)` are, once flattened.

    `take_along_axis` needs the columns alone, but copies them to 64-bit integers.
    """
    q, r = ops.shape(like)
    return columns + r * ops.arange(q, dtype="int32")[:, None]


def _taken(x, places):
    """Returns the entries of `x (q, r)` in `places`."""
    return ops.take(ops.reshape(x, (-1,)), places)


def _put(x, places, like):
    """Returns `x` put in `places` of an array of the shape of `like (q, r)`, in sum."""
    q, r = ops.shape(like)
    flat = ops.reshape(x, (-1,)), ops.reshape(places, (-1,))
    return ops.reshape(ops.segment_sum(*flat, num_segments=q * r), (q, r))
