"""Precision@K."""


def precision_at_k(relevance, k):
    """Computes the share of relevant items among the first `k` of each query.

    A query with fewer than `k` relevant items in the gallery cannot reach 1.

    Args:
        relevance: `(q, depth)` booleans, a query's ranked list in a row: whether the
            item at that rank is of the query's class. `depth >= k`.
        k: Length of the lists, >= 1.

    Returns:
        `(q,)` precisions, 0 … 1.

    Example:

    >>> precision_at_k(np.array([[False, True, False]]), k=2)
    array([0.5])
    """
    return relevance[:, :k].mean(axis=1)
