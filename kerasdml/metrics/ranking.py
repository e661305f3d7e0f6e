"""Ranked lists of a gallery, exact, a chunk of queries at a time."""

import keras
import numpy as np
from keras import ops

from kerasdml.metrics.comparison import BLOCK, comparison, first_copies
from kerasdml.metrics.sorted_ranks import SortedRanks
from kerasdml.metrics.symmetric_ranks import SymmetricRanks
from kerasdml.ops import normalize

TIES = ("index", "optimistic", "pessimistic")


# Longer lists of larger galleries are ranked by sorted values, which costs less there.
_LONG, _LARGE = 128, 2048
# Relevant items a query, up to which counting what is nearer costs less than sorting.
_FEW = 32


def default_chunk_size(gallery_size):
    """Returns how many queries make a block of similarities of the usual size."""
    return max(1, BLOCK // gallery_size)


def ranked_relevance(
    queries,
    codes,
    gallery,
    gallery_codes,
    *,
    similarity,
    ties,
    own,
    depth,
    chunk_size=None,
    ignored=None,
    advance=lambda queries: None,
):
    """Ranks the gallery for every query, nearest first.

    Never more than `chunk_size` rows of similarities exist at a time.

    Args:
        queries: `(q, d)` floats.
        codes: `(q,)` int32 classes of the queries.
        gallery: `(r, d)` floats.
        gallery_codes: `(r,)` int32 classes of the gallery.
        similarity: One of `ops.SIMILARITIES`.
        ties: Which of equally near items comes first: "index", the one of lower
            index; "optimistic", a relevant one; "pessimistic", an irrelevant one.
        own: Whether query `i` is item `i` of the gallery and left out of its list.
        depth: Length of the lists.
        chunk_size: Queries at a time; None: what suits the sizes.
        ignored: `(q, m)` items left out of each query's list, -1 for none; or None.
        advance: Function that is called with the number of queries just ranked, or with
            as large a part of the work.

    Yields:
        `(rows, relevance)`: a slice of the queries, and for them `(rows, depth)`
        booleans, whether the item at that rank is of the query's class. A list that
        runs out of items ends in False.
    """
    if own and ignored is None and chunk_size is None:
        embeddings = _for_tiles(gallery, gallery_codes, similarity)
        if embeddings is not None:
            ranks = SymmetricRanks(embeddings, codes, ties)(advance)
            yield from _listed(ranks, depth)
            return
    chunk_size = chunk_size or default_chunk_size(len(gallery))
    blocks = _blocks(queries, gallery, similarity, own, ignored, chunk_size)
    if depth > _LONG and len(gallery) > _LARGE:
        ranks = SortedRanks(gallery_codes, ties, depth)
        for rows, similarities in blocks:
            yield rows, ranks(ops.convert_to_numpy(similarities), codes[rows])
            advance(len(similarities))
        return
    rank = _rank_by_index if ties == "index" else _rank_by_relevance
    codes = ops.convert_to_tensor(codes)
    gallery_codes = ops.convert_to_tensor(gallery_codes)
    for rows, similarities in blocks:
        relevance = rank(
            similarities, codes[rows], gallery_codes, depth=depth, ties=ties
        )
        yield rows, ops.convert_to_numpy(relevance)
        advance(len(relevance))


def _for_tiles(gallery, codes, similarity):
    """Returns what `SymmetricRanks` takes, or None where it is not of use.

    An accelerator would wait for the counting; sorting is faster where classes are
    large; and copies need one product for all of them, to tie.
    """
    if (
        similarity not in ("cosine", "dot")
        or len(gallery) <= _LARGE
        or isinstance(gallery, np.memmap)
        or np.bincount(codes).max() - 1 > _FEW
        or not all(x.startswith("cpu") for x in keras.distribution.list_devices())
    ):
        return None
    copies = first_copies(gallery)
    if (codes[copies] != codes).any():
        return None
    return (
        ops.convert_to_numpy(normalize(gallery)) if similarity == "cosine" else gallery
    )


def _listed(ranks, depth):
    """Yields ranks of relevant items, `(n, most)`, as lists, slice by slice."""
    step = max(1, BLOCK // depth)
    for start in range(0, len(ranks), step):
        rows = slice(start, min(start + step, len(ranks)))
        relevance = np.zeros((rows.stop - start, depth + 1), bool)
        places = np.minimum(ranks[rows], depth)  # the last column is of no list
        np.put_along_axis(relevance, places, True, axis=1)
        yield rows, relevance[:, :-1]


def ranked_indices(
    queries, gallery, *, similarity, own, depth, chunk_size, preferences=None
):
    """Ranks the gallery for every query, nearest first, equally near by index.

    Args:
        queries: `(q, d)` floats.
        gallery: `(r, d)` floats.
        similarity: One of `ops.SIMILARITIES`.
        own: Whether query `i` is item `i` of the gallery and left out of its list.
        depth: Length of the lists, less than r if `own`.
        chunk_size: Queries at a time.
        preferences: A function of a slice of the queries: `(rows, r)` numbers, of which
            the larger comes first of equally near items. It sorts all, which is slow.

    Yields:
        `(rows, nearest)`: a slice of the queries, and for them `(rows, depth)` int32,
        the item at that rank.
    """
    for rows, similarities in _blocks(
        queries, gallery, similarity, own, None, chunk_size
    ):
        # `top_k` puts the lower index first, on TensorFlow and on JAX.
        if preferences is None:
            nearest = ops.top_k(similarities, depth)[1]
        else:
            order = ops.top_k(preferences(rows), len(gallery))[1]
            similarities = ops.take_along_axis(similarities, order, axis=1)
            places = ops.top_k(similarities, depth)[1]
            nearest = ops.take_along_axis(order, places, axis=1)
        yield rows, ops.convert_to_numpy(nearest)


def _blocks(queries, gallery, similarity, own, ignored, chunk_size):
    """Yields slices of queries and their similarities, -inf to what is left out.

    By index, not by rank: a duplicate may well come before the query itself.
    """
    compare = comparison(queries, gallery, similarity)
    for start in range(0, len(queries), chunk_size):
        rows = slice(start, min(start + chunk_size, len(queries)))
        similarities = compare(rows)
        if own:
            itself = np.stack([np.arange(len(queries[rows])), np.r_[rows]], axis=1)
            similarities = ops.scatter_update(
                similarities, itself, np.full(len(itself), -np.inf, "float32")
            )
        if ignored is not None:
            left_out = _members(ignored[rows], len(gallery))
            similarities = ops.where(left_out, -np.inf, similarities)
        yield rows, similarities


def _members(indices, size):
    """Returns `(rows, size)` booleans, which are among the indices; -1 is none."""
    found = np.zeros((len(indices), size + 1), bool)
    np.put_along_axis(found, indices, True, axis=1)  # -1 lands in the last column
    return found[:, :-1]


def _rank_by_index(similarities, codes, gallery_codes, depth, ties):
    values, nearest = ops.top_k(similarities, depth)
    relevant = ops.take(gallery_codes, nearest, axis=0) == codes[:, None]
    return ops.logical_and(relevant, values > -np.inf)


def _rank_by_relevance(similarities, codes, gallery_codes, depth, ties):
    """Ranks relevant and irrelevant items apart, then merges the two lists.

    The lists are laid end to end, so that the lower index first, as `top_k` has it,
    is the preferred kind first; no tie at the end of the list is cut off unseen.
    """
    relevant = codes[:, None] == gallery_codes
    irrelevant = ops.logical_not(relevant)
    kinds = [relevant, irrelevant] if ties == "optimistic" else [irrelevant, relevant]
    lists = [ops.top_k(ops.where(k, similarities, -np.inf), depth)[0] for k in kinds]
    values, merged = ops.top_k(ops.concatenate(lists, axis=1), depth)
    relevant = (merged < depth) == (ties == "optimistic")
    return ops.logical_and(relevant, values > -np.inf)
