"""Normalized discounted cumulative gain at K."""

import numpy as np


def ndcg_at_k(relevance, counts, k):
    """Computes how early relevant items come, against the best possible list.

        DCG@k = sum over ranks r <= k of rel(r) / log2(r + 1)
        nDCG@k = DCG@k / DCG@k of a list with the min(k, R) first items relevant

    It is 1 if and only if those are, for classes of any size and every `k`.

    Args:
        relevance: `(q, depth)` booleans, a query's ranked list in a row: whether the
            item at that rank is of the query's class. `depth >= k`.
        counts: `(q,)` R, the relevant items of each query in the gallery, >= 0.
        k: Length of the lists, >= 1.

    Returns:
        `(q,)` values, 0 … 1; 0 for a query without relevant items.

    Example:

    >>> ndcg_at_k(np.array([[True, False, True, False]]), np.array([2]), k=4)
    array([0.91972079])

    Source: Järvelin and Kekäläinen, "Cumulated Gain-Based Evaluation of IR Techniques",
    TOIS 2002, with the discount in use since, which counts rank 2 less than rank 1.
    """
    return graded_ndcg_at_k(relevance, np.arange(k) < counts[:, None], k)


def graded_ndcg_at_k(grades, best, k):
    """Computes nDCG@k where some items are more relevant than others.

    As `ndcg_at_k`, with `2^grade - 1` in place of `rel`. Of grades 0 and 1 it is the
    same.

    Args:
        grades: `(q, depth)` numbers >= 0, a query's ranked list in a row: how relevant
            the item at that rank is, as the number of tags in common. `depth >= k`.
        best: `(q, >= k)` the largest grades in the gallery for each query, largest
            first; may be shorter than `k` if the gallery is.
        k: Length of the lists, >= 1.

    Returns:
        `(q,)` values, 0 … 1; 0 for a query without relevant items.

    Example:

    >>> graded_ndcg_at_k(np.array([[1, 2, 0]]), np.array([[2, 1, 0]]), k=3)
    array([0.79670758])

    Source: Burges et al., "Learning to Rank using Gradient Descent", ICML 2005, for the
    gain.
    """
    reached, possible = _dcg(grades[:, :k]), _dcg(best[:, :k])
    return reached / np.where(possible > 0, possible, 1.0)


def _dcg(grades):
    gains = np.exp2(grades, dtype=float) - 1
    return gains @ (1 / np.log2(np.arange(grades.shape[1]) + 2))
