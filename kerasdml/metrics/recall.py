"""Recall@K."""


def recall_at_k(relevance, k):
    """Tells which queries find at least one relevant item among their first `k`.

    This is the Recall@K of the metric-learning literature, a hit rate; information
    retrieval calls by the same name the share of all relevant items that is found.

    Args:
        relevance: `(q, depth)` booleans, a query's ranked list in a row: whether the
            item at that rank is of the query's class. `depth >= k`.
        k: Length of the lists, >= 1.

    Returns:
        `(q,)` 1.0 for a hit, 0.0 for none.

    Example:

    >>> recall_at_k(np.array([[False, True, False]]), k=2)
    array([1.])

    Source: Jégou et al., "Product Quantization for Nearest Neighbor Search", TPAMI
    2011, as used since Oh Song et al., "Deep Metric Learning via Lifted Structured
    Feature Embedding", CVPR 2016, https://arxiv.org/abs/1511.06452.
    """
    return relevance[:, :k].any(axis=1).astype(float)
