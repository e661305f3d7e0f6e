"""Mean average precision at R."""

import numpy as np

from kerasdml.metrics.r_precision import hits_within_r


def map_at_r(relevance, counts):
    """Computes the average precision of each query, cut off at its R.

        1/R * sum over ranks r <= R of rel(r) * precision at r

    R is the number of relevant items in the gallery, and the divisor too, not the
    number of those found. Unlike R-Precision it rewards relevant items for coming
    early, and it is never larger.

    Args:
        relevance: `(q, depth)` booleans, a query's ranked list in a row: whether the
            item at that rank is of the query's class. `depth >= max(counts)`.
        counts: `(q,)` R, the relevant items of each query, >= 0.

    Returns:
        `(q,)` average precisions, 0 … 1; 0 for a query without relevant items.

    Raises:
        ValueError: If the lists are shorter than the largest R.

    Example:

    >>> map_at_r(np.array([[False, True, True]]), counts=np.array([2]))
    array([0.25])

    Source: Musgrave et al., "A Metric Learning Reality Check", ECCV 2020,
    https://arxiv.org/abs/2003.08505.
    """
    hits = hits_within_r(relevance, counts)
    # Before the cut-off at R, hits so far are relevant items so far.
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return np.sum(hits * precision, axis=1) / np.maximum(counts, 1)
