"""Mean average precision of whole ranked lists."""

import numpy as np

from kerasdml.metrics.map_at_k import precisions_at_hits


def map_at_all(relevance, counts):
    """Computes the average precision of each query over its whole list.

        1/R * sum over all ranks r of rel(r) * precision at r

    Unlike MAP@R it also rewards relevant items that come after rank R.

    Args:
        relevance: `(q, depth)` booleans, a query's ranked list in a row: whether the
            item at that rank is of the query's class. It holds all relevant items.
        counts: `(q,)` R, the relevant items of each query in the gallery, >= 0.

    Returns:
        `(q,)` average precisions, 0 … 1; 0 for a query without relevant items.

    Raises:
        ValueError: If a list does not hold all R relevant items.

    Example:

    >>> map_at_all(np.array([[True, False, False, True]]), np.array([2]))
    array([0.75])
    """
    _check_complete(relevance, counts)
    return precisions_at_hits(relevance).sum(axis=1) / np.maximum(counts, 1)


def voc_map_at_all(relevance, counts):
    """Computes the average precision of each query under the envelope of its curve.

    As `map_at_all`, but the precision at a relevant item is the largest at its rank or
    any later one, as Pascal VOC has it since 2010. It is never smaller. Some results of
    sketch-based image retrieval are of this kind.

    Args:
        relevance: `(q, depth)` booleans, a query's ranked list in a row: whether the
            item at that rank is of the query's class. It holds all relevant items.
        counts: `(q,)` R, the relevant items of each query in the gallery, >= 0.

    Returns:
        `(q,)` average precisions, 0 … 1; 0 for a query without relevant items.

    Raises:
        ValueError: If a list does not hold all R relevant items.

    Example:

    >>> voc_map_at_all(np.array([[False, True, False, True]]), np.array([2]))
    array([0.5])
    """
    _check_complete(relevance, counts)
    # Precision falls between relevant items, so the largest is at one of them.
    backwards = precisions_at_hits(relevance)[:, ::-1]
    envelope = np.maximum.accumulate(backwards, axis=1)
    # Lists with fewer relevant items than others begin, backwards, with zeros.
    return envelope.sum(axis=1) / np.maximum(counts, 1)


def _check_complete(relevance, counts):
    missing = np.flatnonzero(relevance.sum(axis=1) != counts)
    if missing.size:
        raise ValueError(
            "Every list must hold all relevant items of its query, `counts` of them. "
            f"Received: {missing.size} lists that do not, of query {missing[0]} first."
        )
