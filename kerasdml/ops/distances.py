"""Distances of every query from every reference."""

from keras import ops


def distances(queries, references):
    """Returns the Euclidean distances of `(q, d)` and `(r, d)`, as `(q, r)`.

    Between copies they are exactly 0, with gradient 0.
    """
    return safe_sqrt(*_expanded_squares(queries, references))


def squared_distances(queries, references):
    """Returns the squared Euclidean distances of `(q, d)` and `(r, d)`, as `(q, r)`.

    Between copies they are exactly 0, with gradient 0.
    """
    squares, scale = _expanded_squares(queries, references)
    return ops.where(squares > _resolution(squares) * scale, squares, 0.0)


def manhattan_distances(queries, references):
    """Returns the sums of absolute differences of `(q, d)` and `(r, d)`, as `(q, r)`.

    No `(q, r, d)` array is built, forward or backward: the coordinates are gone through
    one by one. Where two are equal their gradient is 0.
    """
    return _manhattan_distances(ops.transpose(queries), ops.transpose(references))


def _expanded_squares(queries, references):
    """Returns `|q|² + |r|² - 2 q·r`, `(q, r)`, and the size of what it is made of."""
    products = ops.matmul(queries, ops.transpose(references))
    squares = ops.sum(queries**2, axis=1)[:, None] + ops.sum(references**2, axis=1)
    return squares - 2.0 * products, squares


@ops.custom_gradient
def _manhattan_distances(queries, references):
    """Does it for transposed embeddings, `(d, q)` and `(d, r)`."""
    dim = queries.shape[0]

    def add(i, sums):
        return sums + ops.abs(queries[i][:, None] - references[i])

    def gradient(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream

        def put(i, slopes):
            signs = ops.sign(queries[i][:, None] - references[i]) * upstream
            return (
                ops.slice_update(slopes[0], (i, 0), ops.sum(signs, axis=1)[None]),
                ops.slice_update(slopes[1], (i, 0), -ops.sum(signs, axis=0)[None]),
            )

        return _one_by_one(put, (queries, references), 0, dim)

    # To start with, the first: zeros would be a constant, held between the steps.
    first = ops.abs(queries[0][:, None] - references[0])
    return _one_by_one(add, first, 1, dim), gradient


def _one_by_one(step, state, start, stop):
    """Applies `state = step(i, state)` for i from `start` to `stop - 1`."""

    def body(i, state):
        state = step(i, state)
        some = state[0] if isinstance(state, tuple) else state
        # Always 1, but read from the state: or else TensorFlow would run several steps
        # at once, each with arrays of its own.
        one = ops.maximum(ops.cast(ops.isfinite(some[0, 0]), "int32"), 1)
        return i + one, state

    begin = ops.convert_to_tensor(start, "int32"), state
    return ops.while_loop(lambda i, _: i < stop, body, begin)[1]


def safe_sqrt(x, scale=1.0):
    """Computes `sqrt(max(x, 0))` with gradient 0, not infinity, where `x` is 0.

    Args:
        x: What to take the root of, such as squared distances.
        scale: The size of the terms `x` is a difference of. What lies within their
            rounding error counts as 0: the root would blow it up to a distance of
            its square root, and the gradient to the inverse of that.
    """
    positive = x > _resolution(x) * scale
    return ops.where(positive, ops.sqrt(ops.where(positive, x, 1.0)), 0.0)


def _resolution(x):
    # A few units in the last place of float32, or of float64 where tests use it.
    return 1e-15 if "64" in str(x.dtype) else 4e-7
