"""Ranked lists of a gallery, exact, a chunk of queries at a time."""

import numpy as np
from keras import ops

from kerasdml.ops import normalize
from kerasdml.ops import similarities as compared

TIES = ("index", "optimistic", "pessimistic")

# Similarities held at a time, 64 MiB of float32: enough to keep a matrix product
# busy, and small beside the embeddings of the galleries that need chunks at all.
_BLOCK = 2**24


def default_chunk_size(gallery_size):
    """Returns how many queries make a block of similarities of the usual size."""
    return max(1, _BLOCK // gallery_size)


def ranked_relevance(
    queries, codes, gallery, gallery_codes, *, similarity, ties, own, depth, chunk_size
):
    """Ranks the gallery for every query, nearest first.

    Never more than `chunk_size` rows of similarities exist at a time.

    Args:
        queries: `(q, d)` float32.
        codes: `(q,)` int32 classes of the queries.
        gallery: `(r, d)` float32.
        gallery_codes: `(r,)` int32 classes of the gallery.
        similarity: One of `ops.SIMILARITIES`.
        ties: Which of equally near items comes first: "index", the one of lower
            index; "optimistic", a relevant one; "pessimistic", an irrelevant one.
        own: Whether query `i` is item `i` of the gallery and left out of its list.
        depth: Length of the lists.
        chunk_size: Queries at a time.

    Yields:
        `(rows, relevance)`: a slice of the queries, and for them `(rows, depth)`
        booleans, whether the item at that rank is of the query's class.
    """
    rank = _rank_by_index if ties == "index" else _rank_by_relevance
    codes = ops.convert_to_tensor(codes)
    gallery_codes = ops.convert_to_tensor(gallery_codes)
    blocks = _blocks(queries, gallery, similarity, own, chunk_size)
    for rows, itself, similarities in blocks:
        relevance = rank(
            similarities, codes[rows], gallery_codes, itself, depth=depth, ties=ties
        )
        yield rows, ops.convert_to_numpy(relevance)


def ranked_indices(queries, gallery, *, similarity, own, depth, chunk_size):
    """Ranks the gallery for every query, nearest first, equally near by index.

    Args:
        queries: `(q, d)` float32.
        gallery: `(r, d)` float32.
        similarity: One of `ops.SIMILARITIES`.
        own: Whether query `i` is item `i` of the gallery and left out of its list.
        depth: Length of the lists.
        chunk_size: Queries at a time.

    Yields:
        `(rows, nearest)`: a slice of the queries, and for them `(rows, depth)` int32,
        the item at that rank.
    """
    blocks = _blocks(queries, gallery, similarity, own, chunk_size)
    for rows, itself, similarities in blocks:
        yield rows, ops.convert_to_numpy(_nearest(similarities, itself, depth))


def _blocks(queries, gallery, similarity, own, chunk_size):
    """Yields rows of queries, their indices in the gallery or None, similarities."""
    copies = _first_copies(gallery)
    has_copies = (copies != np.arange(len(copies))).any()
    compare = _comparison(queries, gallery, similarity)
    for start in range(0, len(queries), chunk_size):
        rows = slice(start, min(start + chunk_size, len(queries)))
        similarities = compare(rows)
        if has_copies:
            similarities = ops.take(similarities, copies, axis=1)
        itself = ops.arange(rows.start, rows.stop, dtype="int32") if own else None
        yield rows, itself, similarities


def _rank_by_index(similarities, codes, gallery_codes, itself, depth, ties):
    nearest = _nearest(similarities, itself, depth)
    return ops.take(gallery_codes, nearest, axis=0) == codes[:, None]


def _nearest(similarities, itself, depth):
    # `top_k` puts the lower index first, on TensorFlow and on JAX.
    _, nearest = ops.top_k(similarities, depth if itself is None else depth + 1)
    return nearest if itself is None else _without(nearest, itself)


def _without(nearest, itself):
    """Takes the query's own index out of its list, or else the last entry.

    By index, not by rank: a duplicate may well come before the query itself, and
    enough of them push it out of the list.
    """
    found = ops.cast(nearest == itself[:, None], "int32")
    beyond = ops.cumsum(found, axis=1)[:, :-1] > 0
    return ops.where(beyond, nearest[:, 1:], nearest[:, :-1])


def _rank_by_relevance(similarities, codes, gallery_codes, itself, depth, ties):
    """Ranks relevant and irrelevant items apart, then merges the two lists.

    The lists are laid end to end, so that the lower index first, as `top_k` has it,
    is the preferred kind first; no tie at the end of the list is cut off unseen.
    """
    relevant = codes[:, None] == gallery_codes
    irrelevant = ~relevant
    if itself is not None:
        relevant &= itself[:, None] != ops.arange(len(gallery_codes), dtype="int32")
    kinds = [relevant, irrelevant] if ties == "optimistic" else [irrelevant, relevant]
    lists = [ops.top_k(ops.where(k, similarities, -np.inf), depth)[0] for k in kinds]
    _, merged = ops.top_k(ops.concatenate(lists, axis=1), depth)
    return (merged < depth) == (ties == "optimistic")


def _first_copies(gallery):
    """Returns for every row the index of the first row equal to it, `(r,)` int32.

    A matrix product may round equal columns differently, by where its blocks end;
    read from one column, they tie as they should.
    """
    first = {}
    copies = [first.setdefault(row.tobytes(), i) for i, row in enumerate(gallery)]
    return np.array(copies, "int32")


def _comparison(queries, gallery, similarity):
    """Returns a function of rows of queries, that ranks the gallery for each of them.

    Its values, `(rows, r)`, are in the order of the similarities, if not equal to them.
    """
    if similarity in ("manhattan", "hyperbolic"):
        queries = ops.convert_to_tensor(queries)
        gallery = ops.convert_to_tensor(gallery)
        return lambda rows: compared(queries[rows], gallery, similarity)
    queries, gallery = _as_inner_products(queries, gallery, similarity)
    columns = ops.transpose(gallery)
    return lambda rows: ops.matmul(queries[rows], columns)


def _as_inner_products(queries, gallery, similarity):
    """Returns tensors whose inner products rank as `similarity` does."""
    if similarity == "signal_to_noise":
        # A query divides its distances from all by its own variance.
        queries = queries - queries.mean(axis=1, keepdims=True)
        gallery = gallery - gallery.mean(axis=1, keepdims=True)
    if similarity in ("euclidean", "squared_euclidean", "signal_to_noise"):
        queries, gallery = _euclidean_as_inner_products(queries, gallery)
    queries = ops.convert_to_tensor(queries)
    gallery = ops.convert_to_tensor(gallery)
    if similarity == "cosine":
        return normalize(queries), normalize(gallery)
    return queries, gallery


def _euclidean_as_inner_products(queries, gallery):
    """Appends a coordinate by which `2 a·b - b²` becomes an inner product.

    That is `a² - (a - b)²`, which ranks the gallery as the distance does, and unlike
    the distance takes no root of a small difference of large numbers. A common offset
    would still cost digits, so the gallery's centre is moved to about zero: by whole
    powers of two, which does not round, so that equal distances stay equal.
    """
    spread = np.std(gallery, axis=0, dtype=float)
    step = np.exp2(np.floor(np.log2(np.where(spread > 0, spread, 1.0))))
    centre = step * np.round(np.mean(gallery, axis=0, dtype=float) / step)
    queries = (queries - centre).astype("float32")
    gallery = (gallery - centre).astype("float32")
    squares = np.sum(gallery**2, axis=1, keepdims=True)
    ones = np.ones((len(queries), 1), "float32")
    return np.hstack([2 * queries, ones]), np.hstack([gallery, -squares])
