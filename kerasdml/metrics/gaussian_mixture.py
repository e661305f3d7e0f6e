"""Groups of embeddings that overlap, or differ in shape."""

import numpy as np

from kerasdml.metrics.kmeans import kmeans

# Added to variances, as in scikit-learn: points on a line have none across it.
_RIDGE = 1e-6


def gaussian_mixture(
    embeddings, components, *, covariance="full", iterations=100, tolerance=1e-3, seed=0
):
    """Fits a mixture of Gaussians and says which of them each example is from.

    Expectation-maximisation in float64, from the clusters of `kmeans`, until the mean
    log-likelihood gains less than `tolerance` a step. What it finds is a local optimum,
    and depends on `seed`. An iteration costs `n * components * d^2`, for diagonal
    covariances `n * components * d`.

    Args:
        embeddings: `(n, d)` floats.
        components: How many Gaussians, from 1 to n.
        covariance: "full", which needs many times more examples than dimensions in
            every component; or "diagonal".
        iterations: The largest number of them, at least 1.
        tolerance: As above, in nats an example.
        seed: Non-negative integer, of k-means.

    Returns:
        `(labels, bic)`: `(n,)` int64, the most probable component of each, of which
        some may have no example; and the Bayesian information criterion, which is lower
        for the better number of components.

    Raises:
        ValueError: If the embeddings are not `(n, d)` and finite, a number is out of
            its range, or the covariance unknown.

    Example:

    >>> labels, bic = kerasdml.metrics.gaussian_mixture(embeddings, components=2)
    """
    if covariance not in ("full", "diagonal"):
        raise ValueError(
            f"`covariance` must be 'full' or 'diagonal'. Received: {covariance!r}."
        )
    shares = np.eye(components)[kmeans(embeddings, components, seed=seed)]
    x = np.asarray(embeddings, "float64")
    densities = _full if covariance == "full" else _diagonal
    before = -np.inf
    for _ in range(iterations):
        joint = _log_weights(shares) + densities(x, shares)
        peak = joint.max(axis=1, keepdims=True)
        likelihood = peak + np.log(np.exp(joint - peak).sum(axis=1, keepdims=True))
        shares = np.exp(joint - likelihood)
        if likelihood.mean() - before < tolerance:
            break
        before = likelihood.mean()
    n, d = x.shape
    of_one = d + (d * (d + 1) // 2 if covariance == "full" else d)
    parameters = components * (of_one + 1) - 1
    return joint.argmax(axis=1), parameters * np.log(n) - 2.0 * likelihood.sum()


def _log_weights(shares):
    return np.log(np.maximum(shares.mean(axis=0), 1e-300))


def _means(x, shares):
    """Returns each component's number of examples, and `(k, d)` means."""
    counts = shares.sum(axis=0) + 10 * np.finfo(float).eps
    return counts, (shares.T @ x) / counts[:, None]


def _full(x, shares):
    """Returns `(n, k)` log densities of the Gaussians that fit `shares (n, k)`."""
    counts, means = _means(x, shares)
    found = np.empty(shares.shape)
    for k, mean in enumerate(means):
        away = x - mean
        spread = (shares[:, k, None] * away).T @ away / counts[k]
        spread[np.diag_indices_from(spread)] += _RIDGE
        factor = np.linalg.cholesky(spread)
        scaled = np.linalg.solve(factor, away.T)
        found[:, k] = -0.5 * np.sum(scaled**2, axis=0) - np.log(np.diag(factor)).sum()
    return found - 0.5 * x.shape[1] * np.log(2.0 * np.pi)


def _diagonal(x, shares):
    counts, means = _means(x, shares)
    found = np.empty(shares.shape)
    for k, mean in enumerate(means):
        squares = (x - mean) ** 2
        spread = shares[:, k] @ squares / counts[k] + _RIDGE
        found[:, k] = -0.5 * (squares @ (1.0 / spread) + np.log(spread).sum())
    return found - 0.5 * x.shape[1] * np.log(2.0 * np.pi)
