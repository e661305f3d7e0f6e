"""Mean reciprocal rank."""

import numpy as np


def mrr(relevance):
    """Computes 1 over the rank of each query's first relevant item.

    Args:
        relevance: `(q, depth)` booleans, a query's ranked list in a row: whether the
            item at that rank is of the query's class.

    Returns:
        `(q,)` reciprocal ranks, 0 … 1; 0 for a list without relevant items.

    Example:

    >>> mrr(np.array([[False, True, True]]))
    array([0.5])

    Source: Voorhees, "The TREC-8 Question Answering Track Report", TREC 1999.
    """
    return np.where(relevance.any(axis=1), 1 / (1 + np.argmax(relevance, axis=1)), 0.0)
