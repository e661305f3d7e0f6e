"""R-Precision."""

import numpy as np


def r_precision(relevance, counts):
    """Computes the share of relevant items among the first R of each query.

    R is the number of relevant items in the gallery, the query's own, so a perfect
    ranking scores 1 whatever the sizes of the classes.

    Args:
        relevance: `(q, depth)` booleans, a query's ranked list in a row: whether the
            item at that rank is of the query's class. `depth >= max(counts)`.
        counts: `(q,)` R, the relevant items of each query, >= 0.

    Returns:
        `(q,)` precisions, 0 … 1; 0 for a query without relevant items.

    Raises:
        ValueError: If the lists are shorter than the largest R.

    Example:

    >>> r_precision(np.array([[True, False, True]]), counts=np.array([2]))
    array([0.5])

    Source: Musgrave et al., "A Metric Learning Reality Check", ECCV 2020,
    https://arxiv.org/abs/2003.08505.
    """
    return hits_within_r(relevance, counts).sum(axis=1) / np.maximum(counts, 1)


def hits_within_r(relevance, counts):
    """Returns `(q, max R)` booleans: relevant, and among the query's first R."""
    deepest = max(counts, default=0)
    if relevance.shape[1] < deepest:
        raise ValueError(
            "`relevance` must reach as deep as the largest of `counts`. "
            f"Received: depth={relevance.shape[1]}, max(counts)={deepest}."
        )
    return relevance[:, :deepest] & (np.arange(deepest) < counts[:, None])
