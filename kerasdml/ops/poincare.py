"""The Poincaré ball: hyperbolic space, drawn inside a ball of radius `1/√c`.

Its curvature is `-c`. Near the centre distances are twice the Euclidean ones; towards
the rim they grow without bound, as the number of nodes does down a tree.
"""

from keras import ops

from kerasdml.ops.distances import squared_distances


def check_ball(curvature, clip):
    """Raises a `ValueError` unless both are positive."""
    if curvature <= 0 or clip <= 0:
        raise ValueError(
            "`curvature` and `clip` must be positive. "
            f"Received: curvature={curvature}, clip={clip}."
        )


def exp_at_origin(tangents, curvature=1.0, clip=2.3):
    """Maps embeddings into the ball, each in its direction.

    An embedding of length l comes to lie at `tanh(√c l) / √c` from the centre, which is
    a hyperbolic distance of `2 l`. The gradient is finite everywhere, also at zero.

    Args:
        tangents: `(n, d)` embeddings, read as tangents at the centre.
        curvature: c, > 0.
        clip: The length, > 0, that longer embeddings are cut to first. Beyond it their
            lengths have no gradient.

    Returns:
        `(n, d)` points inside the ball.
    """
    squares = ops.sum(tangents**2, axis=1, keepdims=True)
    some = squares > 0.0
    lengths = ops.sqrt(ops.where(some, squares, 1.0))
    root = curvature**0.5
    radii = ops.tanh(root * ops.minimum(lengths, clip)) / root
    return tangents * ops.where(some, radii / lengths, 1.0)


def poincare_distances(x, y, curvature=1.0):
    """Returns the hyperbolic distances of points `(q, d)` and `(r, d)`, as `(q, r)`.

    With `w = 1 / √(1 - c|x|²)` of either point, the distance is

        2 asinh(√c w_x w_y |x - y|) / √c

    so that products of the points suffice. It equals `2 artanh(√c |(-x) ⊕ y|) / √c`
    with the Möbius addition ⊕. Between copies it is exactly 0, with gradient 0.

    Args:
        x: `(q, d)` points inside the ball.
        y: `(r, d)` points inside the ball.
        curvature: c, > 0.
    """
    x_weights, y_weights = (_squared_weights(z, curvature) for z in (x, y))
    v = squared_distances(x, y) * (curvature * x_weights)[:, None] * y_weights
    return _twice_arcsinh_of_root(v) / curvature**0.5


def to_poincare(embeddings, curvature, clip, riemannian_gradient):
    """Maps `(n, d)` embeddings into the ball, by `exp_at_origin`.

    With `riemannian_gradient` the points have the one of `with_riemannian_gradient`.
    """
    points = exp_at_origin(embeddings, curvature, clip)
    return (
        with_riemannian_gradient(points, curvature) if riemannian_gradient else points
    )


def with_riemannian_gradient(points, curvature=1.0):
    """Returns points of the ball, whose gradients take its metric into account.

    The way back multiplies the gradient of a point by `(1 - c|x|²)² / 4`: steps that
    look equally long from outside become equally long within the ball, where a step
    near the rim leads far.

    Args:
        points: `(n, d)` points inside the ball.
        curvature: c, > 0.
    """

    @ops.custom_gradient
    def identity(x):
        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            inside = 1.0 - curvature * ops.sum(x**2, axis=-1, keepdims=True)
            return upstream * inside**2 / 4.0

        return x, gradient

    return identity(points)


@ops.custom_gradient
def _twice_arcsinh_of_root(v):
    """Computes `2 arcsinh(√v)`, of v from 0 up; where that is 0 the gradient is 0."""
    root = ops.sqrt(v * (1.0 + v))

    def gradient(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        slope = ops.sqrt(v * (1.0 + v))  # computed again, rather than kept
        some = slope > 0.0
        return ops.where(some, upstream / ops.where(some, slope, 1.0), 0.0)

    # For arcsinh itself there is no vector code, for logarithms there is.
    return ops.log1p(2.0 * (v + root)), gradient


def _squared_weights(x, curvature):
    # A point on the rim, where rounding may put it, is taken for one just inside.
    inside = ops.maximum(1.0 - curvature * ops.sum(x**2, axis=1), 1e-6)
    return 1.0 / inside
