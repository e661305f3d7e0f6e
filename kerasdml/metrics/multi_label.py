"""Retrieval metrics of examples with tags."""

import keras
import numpy as np
from keras import ops

from kerasdml.metrics.checks import (
    check_embeddings,
    check_ks,
    check_options,
    check_same_size,
    queries_are_gallery,
)
from kerasdml.metrics.map_at_k import map_at_k
from kerasdml.metrics.ndcg import graded_ndcg_at_k
from kerasdml.metrics.ranking import default_chunk_size, ranked_indices


def multi_label_retrieval(
    embeddings,
    tags,
    gallery=None,
    gallery_tags=None,
    *,
    ks=(1, 10),
    similarity="cosine",
    ties="index",
    lone=None,
    chunk_size=None,
    verbose=0,
):
    """Compares the tags of each query with those of its first k items.

    Of a query's tags Q and an item's T, out of l, the means over the items and then
    over the queries of

        accuracy   |Q and T| / |Q or T|        hamming  |Q xor T| / l, an error
        precision  |Q and T| / |T|             acg      |Q and T|
        recall     |Q and T| / |Q|
        f1         2 precision recall / (precision + recall)

    where 0 / 0 counts as 0. Items are relevant that share a tag: `map` is `map_at_k`;
    `wap` the mean of the acg at the rank of each relevant item among the k; `ndcg` is
    `graded_ndcg_at_k` of the number of tags shared, its best list made of the whole
    gallery.

    Queries, galleries and memory are as in `metrics.retrieval`. A *lone* query, that
    shares no tag with any item, counts with the rest in the first six; `map`, `wap` and
    `ndcg` are undefined for it and leave it out.

    Args:
        embeddings: `(q, d)` queries.
        tags: `(q, l)` 0 or 1, their tags.
        gallery: `(r, d)` embeddings to search; None: the queries themselves.
        gallery_tags: `(r, l)` 0 or 1, tags of the gallery.
        ks: Lengths of the lists, each from 1 to the size of the gallery (one less where
            the queries are the gallery); at least one.
        similarity: How embeddings compare, as in `ops.similarities`.
        ties: Which of equally near items comes first. "index": the one of lower index;
            "optimistic": one that shares more tags with the query; "pessimistic": one
            that shares fewer. The last two sort the gallery for every query.
        lone: "zero" counts lone queries in every metric, as 0 where it is undefined;
            "exclude" leaves them out of all. None: as said above.
        chunk_size: Queries compared with the gallery at a time, >= 1. None: as many
            as make 32 MiB of similarities.
        verbose: 0 is silent, 1 shows a progress bar.

    Returns:
        A dict of floats: for every k `accuracy_at_{k}`, `precision_at_{k}`,
        `recall_at_{k}`, `f1_at_{k}`, `hamming_at_{k}`, `map_at_{k}` and `ndcg_at_{k}`,
        0 … 1; `acg_at_{k}` and `wap_at_{k}`, 0 … l. Of `hamming` less is better.

    Raises:
        ValueError: If shapes do not fit, an embedding is NaN or infinite, tags are not
            0 or 1, a k is larger than the gallery, all queries are lone (unless
            `lone="zero"`), or an option is unknown.

    Example:

    >>> metrics.multi_label_retrieval(embedder.predict(images), tags)["f1_at_10"]

    Source: `acg`, `wap` and `ndcg` as in Zhao et al., "Deep Semantic Ranking Based
    Hashing for Multi-Label Image Retrieval", CVPR 2015,
    https://arxiv.org/abs/1501.06272. The first five are the customary ones of
    multi-label classification, between a query and an item.
    """
    check_options(similarity=similarity, lone=lone, chunk_size=chunk_size, ties=ties)
    own = queries_are_gallery(gallery, gallery_tags, labels="gallery_tags")
    queries = check_embeddings("embeddings", embeddings)
    tags = _check_tags("tags", tags, len(queries))
    if own:
        gallery, gallery_tags = queries, tags
    else:
        gallery = check_embeddings("gallery", gallery)
        gallery_tags = _check_tags("gallery_tags", gallery_tags, len(gallery))
        check_same_size(queries, gallery)
        _check_same_tags(tags, gallery_tags)
    _check_some_ks(ks)
    check_ks(ks, len(gallery) - own)

    columns = ops.convert_to_tensor(gallery_tags.T)
    chunk_size = chunk_size or default_chunk_size(len(gallery))
    chunks = ranked_indices(
        queries,
        gallery,
        similarity=similarity,
        own=own,
        depth=max(ks),
        chunk_size=chunk_size,
        preferences=_preferences(ties, tags, columns),
    )
    sizes = gallery_tags.sum(axis=1)
    bar = keras.utils.Progbar(-(-len(queries) // chunk_size), verbose=verbose)
    scores, counts = [], []
    for rows, nearest in chunks:
        shared, best, count = _shared(tags[rows], columns, nearest, max(ks), rows, own)
        pairs = _pairs(shared, tags[rows].sum(axis=1), sizes[nearest], tags.shape[1])
        scores.append(_score(pairs, shared, best, count, ks))
        counts.append(count)
        bar.add(1)
    counts = np.concatenate(counts)
    _check_not_all_lone(counts, lone)
    return {
        name: _mean(np.concatenate([s[name] for s in scores]), name, counts, lone)
        for name in scores[0]
    }


def _preferences(ties, tags, columns):
    """Returns what `ranked_indices` breaks ties by: the number of tags shared."""
    if ties == "index":
        return None
    sign = 1.0 if ties == "optimistic" else -1.0
    return lambda rows: sign * ops.matmul(tags[rows], columns)


def _shared(tags, columns, nearest, k, rows, own):
    """Returns how many tags each query of a chunk shares.

    Returns:
        `(rows, depth)` with the ranked items, `(rows, k)` with the `k` of the gallery
        that it shares most with, and `(rows,)` the number of items it shares any with.
    """
    shared = ops.matmul(tags, columns)
    if own:
        itself = ops.arange(rows.start, rows.stop)[:, None]
        shared = ops.where(itself == ops.arange(columns.shape[1]), 0.0, shared)
    found = (
        ops.take_along_axis(shared, nearest, axis=1),
        ops.top_k(shared, k)[0],
        ops.sum(ops.cast(shared > 0, "int32"), axis=1),
    )
    return tuple(map(ops.convert_to_numpy, found))


def _pairs(shared, query_size, sizes, tags):
    """Returns the six values of each query and ranked item, `(rows, depth)`."""
    query_size = query_size[:, None]
    return {
        "accuracy": _share(shared, query_size + sizes - shared),
        "precision": _share(shared, sizes),
        "recall": _share(shared, query_size),
        # What the harmonic mean of the last two comes to.
        "f1": _share(2 * shared, query_size + sizes),
        "hamming": (query_size + sizes - 2 * shared) / tags,
        "acg": shared,
    }


def _share(part, whole):
    return part / np.where(whole > 0, whole, 1)


def _score(pairs, shared, best, counts, ks):
    relevance = shared > 0
    gains = np.cumsum(shared, axis=1) / np.arange(1, shared.shape[1] + 1)
    scores = {}
    for k in ks:
        for name, values in pairs.items():
            scores[f"{name}_at_{k}"] = values[:, :k].mean(axis=1)
        scores[f"map_at_{k}"] = map_at_k(relevance, counts, k)
        weighted = (relevance * gains)[:, :k].sum(axis=1)
        scores[f"wap_at_{k}"] = _share(weighted, relevance[:, :k].sum(axis=1))
        scores[f"ndcg_at_{k}"] = graded_ndcg_at_k(shared, best, k)
    return scores


def _mean(values, name, counts, lone):
    if lone is None:
        undefined = name.startswith(("map_at_", "wap_at_", "ndcg_at_"))
        lone = "exclude" if undefined else "zero"
    return float(np.mean(values[counts > 0] if lone == "exclude" else values))


def _check_tags(name, tags, count):
    """Returns the tags as a float32 array `(count, l)`, or raises."""
    tags = np.asarray(tags)
    if tags.ndim != 2 or len(tags) != count or not tags.shape[1]:
        raise ValueError(
            f"`{name}` must have a row of tags per embedding, the shape "
            f"`({count}, l)`. Received: {name} of shape {tags.shape}."
        )
    if not np.isin(tags, (0, 1)).all():
        raise ValueError(
            f"`{name}` must be multi-hot, 0 or 1. "
            f"Received: {np.unique(tags)[:5].tolist()} and so on."
        )
    return tags.astype("float32")


def _check_same_tags(tags, gallery_tags):
    if tags.shape[1] != gallery_tags.shape[1]:
        raise ValueError(
            "`tags` and `gallery_tags` must have the same number of tags. "
            f"Received: {tags.shape[1]} and {gallery_tags.shape[1]}."
        )


def _check_some_ks(ks):
    if not len(ks):
        raise ValueError("`ks` must hold at least one number. Received: none.")


def _check_not_all_lone(counts, lone):
    if lone != "zero" and not counts.any():
        raise ValueError(
            "No query shares a tag with an item of the gallery, so there is nothing to "
            'find. With `lone="zero"` it counts as 0.'
        )
