"""Share of the relevant items that is found."""

import numpy as np


def share_found_at_k(relevance, counts, k):
    """Computes which share of its relevant items each query has among its first `k`.

    This is the recall of information retrieval. With `k` below R it cannot reach 1.
    What the metric-learning literature calls Recall@K is `recall_at_k`.

    Args:
        relevance: `(q, depth)` booleans, a query's ranked list in a row: whether the
            item at that rank is of the query's class. `depth >= k`.
        counts: `(q,)` R, the relevant items of each query in the gallery, >= 0.
        k: Length of the lists, >= 1.

    Returns:
        `(q,)` shares, 0 … 1; 0 for a query without relevant items.

    Example:

    >>> share_found_at_k(np.array([[False, True, False]]), np.array([2]), k=3)
    array([0.5])
    """
    return relevance[:, :k].sum(axis=1) / np.maximum(counts, 1)
