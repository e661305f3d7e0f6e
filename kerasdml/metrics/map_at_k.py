"""Mean average precision at K."""

import numpy as np


def map_at_k(relevance, counts, k, *, normalize="min"):
    """Computes the average precision of each query, cut off at rank `k`.

        1/divisor * sum over ranks r <= k of rel(r) * precision at r

    Args:
        relevance: `(q, depth)` booleans, a query's ranked list in a row: whether the
            item at that rank is of the query's class. `depth >= k`.
        counts: `(q,)` R, the relevant items of each query in the gallery, >= 0.
        k: Length of the lists, >= 1.
        normalize: The divisor. "min": the smaller of `k` and R, so that the best list
            scores 1; "R": R, by which no list of a query with R above `k` does.

    Returns:
        `(q,)` average precisions, 0 … 1; 0 for a query without relevant items.

    Raises:
        ValueError: If `normalize` is unknown.

    Example:

    >>> map_at_k(np.array([[True, False, False]]), np.array([3]), k=2)
    array([0.5])
    """
    if normalize not in ("min", "R"):
        raise ValueError(
            f"`normalize` must be 'min' or 'R'. Received: normalize={normalize!r}."
        )
    divisor = np.minimum(counts, k) if normalize == "min" else counts
    precisions = precisions_at_hits(relevance[:, :k])
    return precisions.sum(axis=1) / np.maximum(divisor, 1)


def precisions_at_hits(relevance):
    """Returns the precision at the rank of each relevant item, first to last.

    As many in a row as the list with the most of them has, 0 where it has fewer. That
    is far less than one for every rank, where lists reach through a whole gallery.
    """
    rows, ranks = np.nonzero(relevance)
    found = np.bincount(rows, minlength=len(relevance))
    before = np.arange(len(rows)) - np.repeat(np.cumsum(found) - found, found)
    precisions = np.zeros((len(relevance), found.max(initial=0)))
    precisions[rows, before] = (before + 1) / (ranks + 1)
    return precisions
