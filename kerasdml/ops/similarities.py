"""How close two embeddings are: larger is always closer."""

from keras import ops

SIMILARITIES = ("cosine", "dot", "euclidean")


def check_similarity(similarity):
    """Returns `similarity`, or raises a `ValueError` if it is not one of ours."""
    if similarity not in SIMILARITIES:
        raise ValueError(
            "`similarity` must be one of 'cosine', 'dot' and 'euclidean'. "
            f"Received: similarity={similarity!r}."
        )
    return similarity


def similarities(queries, references, similarity="cosine"):
    """Compares every query with every reference; larger is closer.

    Args:
        queries: `(q, d)` embeddings.
        references: `(r, d)` embeddings.
        similarity: "cosine" (-1 … 1), "dot", or "euclidean" (minus the Euclidean
            distance, at most 0).

    Returns:
        `(q, r)` similarities.
    """
    check_similarity(similarity)
    queries = ops.convert_to_tensor(queries)
    references = ops.convert_to_tensor(references)
    if similarity == "cosine":
        queries, references = normalize(queries), normalize(references)
    products = ops.matmul(queries, ops.transpose(references))
    if similarity != "euclidean":
        return products
    squares = ops.sum(queries**2, axis=1)[:, None] + ops.sum(references**2, axis=1)
    return -safe_sqrt(squares - 2.0 * products, squares)


def normalize(x):
    """Scales each row of `x (n, d)` to length 1; a row of zeros stays zero.

    The gradient is finite everywhere, also at zero.
    """
    square = ops.sum(x**2, axis=-1, keepdims=True)
    positive = square > 0.0
    return ops.where(positive, x * ops.rsqrt(ops.where(positive, square, 1.0)), x)


def safe_sqrt(x, scale=1.0):
    """Computes `sqrt(max(x, 0))` with gradient 0, not infinity, where `x` is 0.

    Args:
        x: What to take the root of, such as squared distances.
        scale: The size of the terms `x` is a difference of. What lies within their
            rounding error counts as 0: the root would blow it up to a distance of
            its square root, and the gradient to the inverse of that.
    """
    # A few units in the last place of float32, or of float64 where tests use it.
    resolution = 1e-15 if "64" in str(x.dtype) else 4e-7
    positive = x > resolution * scale
    return ops.where(positive, ops.sqrt(ops.where(positive, x, 1.0)), 0.0)
