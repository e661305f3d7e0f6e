"""Clusters of embeddings."""

import numpy as np
from keras import ops

# Inner products held at a time, 64 MiB of float32.
_BLOCK = 2**24
# Of how many means or more several are drawn at a time, in about as many draws.
_DRAWS = 256


def kmeans(embeddings, clusters, *, iterations=100, seed=0):
    """Finds clusters of small distances to their means, by Lloyd's algorithm.

    Means begin at examples drawn far from one another (k-means++, each the best of a
    few; of 512 or more clusters, 1/256 of them at a time), and the algorithm ends when
    nothing moves any more. What it finds is a local optimum, and depends on `seed`. No
    cluster is empty: one that would be takes the example farthest from its mean.

    The first two iterations cost `n * clusters * d` multiplications each, in chunks of
    64 MiB of results, and the beginning `2 + log(clusters)` times that, or, of 512
    clusters or more, as much as an iteration. Of many clusters few change later, and
    only they and their examples are compared again.

    Args:
        embeddings: `(n, d)` floats; for clusters of directions, of length 1.
        clusters: How many, from 1 to n.
        iterations: The largest number of them, at least 1.
        seed: Non-negative integer.

    Returns:
        `(n,)` int64, the cluster of each, 0 … clusters - 1.

    Raises:
        ValueError: If the embeddings are not `(n, d)` and finite, or a number is out of
            its range.

    Example:

    >>> kerasdml.metrics.kmeans([[0.0], [0.1], [5.0], [5.1]], clusters=2)
    array([0, 0, 1, 1])
    """
    x = np.asarray(embeddings, "float32")
    if x.ndim != 2 or not np.isfinite(x).all():
        raise ValueError(
            "`embeddings` must have the shape (n, d) and be finite. "
            f"Received: shape {x.shape}."
        )
    if not 1 <= clusters <= len(x) or iterations < 1:
        raise ValueError(
            "`clusters` must be 1 … n and `iterations` at least 1. Received: "
            f"clusters={clusters}, iterations={iterations} for n={len(x)}."
        )
    x = x - np.mean(x, axis=0)  # a common offset would cost digits
    means = x[_far_apart(x, clusters, np.random.default_rng(seed))]
    labels, distances = _nearest(x, means)
    labels = _filled(labels, distances, clusters)
    changed = np.ones(clusters, bool)
    for _ in range(iterations - 1):
        before, means = labels, _means(x, labels, clusters)
        labels, distances = _nearest_again(x, means, labels, distances, changed)
        labels = _filled(labels, distances, clusters)
        moved = labels != before
        if not moved.any():
            break
        changed[:] = False
        changed[before[moved]] = changed[labels[moved]] = True
    return labels


def _far_apart(x, clusters, rng):
    """Draws examples by their squared distance from the closest drawn before.

    Of a few drawn each time, the one stays that leaves the others closest. Where many
    are wanted, a small share of them is drawn at a time, and all stay.
    """
    few, share = 2 + int(np.log(clusters)), clusters // _DRAWS
    squares = np.sum(x**2, axis=1)

    def distances(chosen):
        found = squares[:, None] + squares[chosen] - 2.0 * (x @ x[chosen].T)
        return np.maximum(found, 0.0)

    chosen = [rng.integers(len(x))]
    closest = distances(chosen)
    while len(chosen) < clusters:
        count = few if share < 2 else min(share, clusters - len(chosen))
        total = np.cumsum(closest, dtype=float)
        drawn = np.searchsorted(total, rng.random(count) * total[-1], side="right")
        drawn = np.minimum(drawn, len(x) - 1)  # where all are at one drawn before
        closer = np.minimum(closest, distances(drawn))
        if share < 2:
            best = [np.argmin(np.sum(closer, axis=0))]
            chosen.extend(drawn[best])
            closest = closer[:, best]
        else:
            chosen.extend(np.unique(drawn))
            closest = np.min(closer, axis=1, keepdims=True)
    return chosen


def _nearest(x, means):
    """Returns `(n,)` the mean closest to each example, and the squared distance."""
    squares = np.sum(means**2, axis=1)
    columns = ops.convert_to_tensor(-2.0 * means.T)
    nearest, distances = [], []
    for rows in np.array_split(x, max(1, -(-len(x) * len(means) // _BLOCK))):
        found = ops.matmul(rows, columns) + squares
        nearest.append(ops.convert_to_numpy(ops.argmin(found, axis=1)))
        distances.append(ops.convert_to_numpy(ops.min(found, axis=1)))
    distances = np.concatenate(distances) + np.sum(x**2, axis=1)
    return np.concatenate(nearest).astype(np.int64), distances


def _nearest_again(x, means, labels, distances, changed):
    """As `_nearest`, where the means of `changed` clusters alone have moved.

    An example of another cluster stays there, or goes to one that has changed.
    """
    # Below a few blocks JAX takes longer to compile for new shapes than to compute.
    if changed.all() or len(x) * len(means) <= 4 * _BLOCK:
        return _nearest(x, means)
    labels, distances = labels.copy(), distances.copy()
    again, rest = changed[labels], np.flatnonzero(~changed[labels])
    labels[again], distances[again] = _nearest(x[again], means)
    new = np.flatnonzero(changed)
    found, closer = _nearest(x[rest], means[new])
    better = closer < distances[rest]
    labels[rest[better]] = new[found[better]]
    distances[rest[better]] = closer[better]
    return labels, distances


def _filled(labels, distances, clusters):
    """Gives every empty cluster an example, farthest first, of one that has several."""
    counts = np.bincount(labels, minlength=clusters)
    empty = np.flatnonzero(counts == 0)
    farthest = iter(np.argsort(-distances))
    for cluster in empty:
        example = next(i for i in farthest if counts[labels[i]] > 1)
        counts[labels[example]] -= 1
        counts[cluster] = 1
        labels[example] = cluster
    return labels


def _means(x, labels, clusters):
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels, minlength=clusters)
    sums = np.add.reduceat(x[order], np.cumsum(counts) - counts, axis=0)
    return sums / counts[:, None].astype("float32")
