"""How close two embeddings are: larger is always closer."""

from keras import ops

from kerasdml.ops.distances import distances, manhattan_distances, squared_distances
from kerasdml.ops.poincare import exp_at_origin, poincare_distances

SIMILARITIES = (
    "cosine",
    "dot",
    "euclidean",
    "squared_euclidean",
    "manhattan",
    "signal_to_noise",
    "hyperbolic",
)


def check_similarity(similarity):
    """Returns `similarity`, or raises a `ValueError` if it is not one of ours."""
    if similarity not in SIMILARITIES:
        *names, last = map(repr, SIMILARITIES)
        raise ValueError(
            f"`similarity` must be one of {', '.join(names)} and {last}. "
            f"Received: similarity={similarity!r}."
        )
    return similarity


def similarities(queries, references, similarity="cosine"):
    """Compares every query with every reference; larger is closer.

    - "cosine": of the angle, -1 … 1;
    - "dot": the inner product;
    - "euclidean": minus the Euclidean distance, at most 0, as are all that follow;
    - "squared_euclidean": minus its square;
    - "manhattan": minus the sum of absolute differences. It is no matrix product, and
      takes some twenty times as long (six under XLA);
    - "signal_to_noise": minus `var(query - reference) / var(query)`, the variances
      over the coordinates of one embedding. A query and a reference are not
      exchangeable. A query whose coordinates are all equal is divided by 1;
    - "hyperbolic": minus the distance in the Poincaré ball of curvature -1, of the
      embeddings cut to a length of 2.3 and mapped into it (`ops.exp_at_origin`): at
      least -9.2.

    Args:
        queries: `(q, d)` embeddings.
        references: `(r, d)` embeddings.
        similarity: One of the above.

    Returns:
        `(q, r)` similarities.

    Source: signal to noise, Yuan et al., "Signal-to-Noise Ratio: A Robust Distance
    Metric for Deep Metric Learning", CVPR 2019, https://arxiv.org/abs/1904.02616 (where
    pytorch-metric-learning scales embeddings to unit length first, here they are taken
    as they come); hyperbolic, Ermolov et al., "Hyperbolic Vision Transformers", CVPR
    2022, https://arxiv.org/abs/2203.10833, with the cut at 2.3, there at curvature
    -0.1.
    """
    check_similarity(similarity)
    queries = ops.convert_to_tensor(queries)
    references = ops.convert_to_tensor(references)
    return _FUNCTIONS[similarity](queries, references)


def normalize(x):
    """Scales each row of `x (n, d)` to length 1; a row of zeros stays zero.

    The gradient is finite everywhere, also at zero.
    """
    square = ops.sum(x**2, axis=-1, keepdims=True)
    positive = square > 0.0
    return ops.where(positive, x * ops.rsqrt(ops.where(positive, square, 1.0)), x)


def centered(x):
    """Returns `x (n, d)` less the mean of each row's coordinates."""
    return x - ops.mean(x, axis=1, keepdims=True)


def _products(queries, references):
    return ops.matmul(queries, ops.transpose(references))


def _cosines(queries, references):
    return _products(normalize(queries), normalize(references))


def _signal_to_noise(queries, references):
    # Both variances are squared lengths over d of what is left without the mean.
    queries, references = centered(queries), centered(references)
    signal = ops.sum(queries**2, axis=1, keepdims=True)
    signal = ops.where(signal > 0.0, signal, 1.0)
    return -squared_distances(queries, references) / signal


def _hyperbolic(queries, references):
    return -poincare_distances(exp_at_origin(queries), exp_at_origin(references))


_FUNCTIONS = {
    "cosine": _cosines,
    "dot": _products,
    "euclidean": lambda *pairs: -distances(*pairs),
    "squared_euclidean": lambda *pairs: -squared_distances(*pairs),
    "manhattan": lambda *pairs: -manhattan_distances(*pairs),
    "signal_to_noise": _signal_to_noise,
    "hyperbolic": _hyperbolic,
}
