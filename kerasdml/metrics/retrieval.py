"""Retrieval metrics of a whole set."""

import keras
import numpy as np

from kerasdml.metrics.approximate import SIMILARITIES, ApproximateEngine
from kerasdml.metrics.checks import (
    check_embeddings,
    check_ignored,
    check_ks,
    check_labels,
    check_options,
    check_same_size,
    queries_are_gallery,
)
from kerasdml.metrics.codes import count_ignored, count_relevant, encode_both
from kerasdml.metrics.map_at_all import map_at_all, voc_map_at_all
from kerasdml.metrics.map_at_k import map_at_k
from kerasdml.metrics.map_at_r import map_at_r
from kerasdml.metrics.mrr import mrr
from kerasdml.metrics.ndcg import ndcg_at_k
from kerasdml.metrics.precision import precision_at_k
from kerasdml.metrics.r_precision import r_precision
from kerasdml.metrics.ranking import ranked_relevance
from kerasdml.metrics.recall import recall_at_k
from kerasdml.metrics.share_found import share_found_at_k

# Each a function of the ranked lists, of R, and in the first of k. The first need lists
# as long as k, the second as the largest R, the third as the gallery.
_AT_K = {
    "recall_at_k": lambda relevance, counts, k: recall_at_k(relevance, k),
    "precision_at_k": lambda relevance, counts, k: precision_at_k(relevance, k),
    "share_found_at_k": share_found_at_k,
    "map_at_k": map_at_k,
    "ndcg_at_k": ndcg_at_k,
}
_WITHIN_R = {"r_precision": r_precision, "map_at_r": map_at_r}
_OF_ALL = {
    "mrr": lambda relevance, counts: mrr(relevance),
    "map_at_all": map_at_all,
    "voc_map_at_all": voc_map_at_all,
}
RANKED = (*_AT_K, *_WITHIN_R, *_OF_ALL)


def retrieval(
    embeddings,
    labels,
    gallery=None,
    gallery_labels=None,
    *,
    metrics=("recall_at_k", "precision_at_k", "r_precision", "map_at_r"),
    ks=(1, 10),
    similarity="cosine",
    ties="index",
    lone=None,
    average="micro",
    ignored=None,
    engine="exact",
    chunk_size=None,
    verbose=0,
):
    """Computes recall@k, precision@k, R-Precision, MAP@R and others.

    Every query ranks the whole gallery. Without a `gallery` the queries are the
    gallery, and each is left out of its own list by its index, so exact duplicates
    count like any other item.

    Memory is bounded by `chunk_size`, whatever the number of queries: beside the
    embeddings it holds that many rows of similarities, a few times over. Embeddings of
    an `np.memmap` of float16 or float32 are never copied whole, nor is a float32 array;
    a gallery in a file is read again for every chunk.

    A *lone* query has no relevant item: recall@k and precision@k count it as 0, the
    others are undefined for it and leave it out. `lone_queries` counts them.
    Similarities are float32: items nearer to each other than that resolves may tie or
    trade places (sooner on GPUs, where matrix products may use TF32).

    Args:
        embeddings: `(q, d)` queries.
        labels: `(q,)` their classes: integers of any size, or strings.
        gallery: `(r, d)` embeddings to search; None: the queries themselves.
        gallery_labels: `(r,)` classes of the gallery, of the same kind as `labels`.
        metrics: Names of functions of this package, of which a query has one value:
            "recall_at_k", "precision_at_k", "share_found_at_k", "map_at_k" and
            "ndcg_at_k"; "r_precision" and "map_at_r"; "mrr", "map_at_all" and
            "voc_map_at_all". The last three rank all relevant items of a query, however
            far, and lists of more than 128 items of large galleries are ranked alike:
            on the CPU, by sorting what is as near as the farthest of them.
        ks: Lengths of the lists for the metrics that end in `_at_k`, each from 1 to the
            size of the gallery (one less where the queries are the gallery, and less
            what is ignored).
        similarity: How embeddings compare, as in `ops.similarities`: "cosine", "dot",
            "euclidean", "squared_euclidean", "manhattan", "signal_to_noise" or
            "hyperbolic".
        ties: Which of equally near items comes first. "index": the one of lower
            index, as a search engine would give it; "optimistic": a relevant one;
            "pessimistic": an irrelevant one. The last two bound what any order of the
            data can give, and tell an embedding that has collapsed to a point.
        lone: "zero" counts lone queries as 0, "exclude" leaves them out, in every
            metric. None: as said above, the custom of the literature.
        average: "micro", the mean over queries; "macro", the mean over classes of the
            mean over their queries; or "class", the means of the classes themselves.
        ignored: `(q, m)` indices of items of the gallery that are left out of each
            query's list, as photos of one person by one camera are in
            re-identification; -1 fills up shorter rows. R counts what is left.
        engine: "exact" compares every query with the whole gallery. "scann" finds most
            of its neighbours, for millions of items, by an `index.Scann` of default
            sizes, which copies the gallery and needs tensorflow and scann. An index of
            the gallery, with the default ids, is searched instead, as one that was
            built to find more. An index ranks equally near items in any order, whatever
            `ties`, which must be "index", and by "cosine", "dot", "euclidean" or
            "squared_euclidean"; it takes no `ignored` and no metric that ranks a whole
            gallery.
        chunk_size: Queries compared with the gallery at a time, >= 1. None: as many
            as make 32 MiB of similarities, or 4096 with "scann"; where the queries are
            the gallery, on the CPU, by cosine or dot product and with few items a
            class, squares of 2040 × 2040, each computed once for both its sides.
        verbose: 0 is silent, 1 shows a progress bar.

    Returns:
        A dict of floats, 0 … 1: `recall_at_{k}` and `precision_at_{k}` for every k,
        `r_precision` and `map_at_r`, or what `metrics` names. With an index as `engine`
        also `engine_recall_at_{k}`, for every k and the largest R if lists are that
        long: the share of the k nearest items that the engine finds, mean over 1,000
        queries that are ranked exactly too. With `average="class"`
        each is a dict of its own, from labels to floats, of the classes of queries that
        count.

    Raises:
        ValueError: If shapes do not fit, an embedding is NaN or infinite, labels are
            floats or not one per embedding, a k is larger than the gallery, all
            queries are lone (unless `lone="zero"`), an item to be ignored is not in
            the gallery, or an option is unknown or beyond the engine.
        ImportError: If `engine="scann"` misses a package.

    Example:

    >>> metrics.retrieval(embedder.predict(images), labels)["recall_at_1"]

    Source: recall@k as in Oh Song et al., CVPR 2016, https://arxiv.org/abs/1511.06452;
    R-Precision and MAP@R as in Musgrave et al., ECCV 2020,
    https://arxiv.org/abs/2003.08505.
    """
    _check_metrics(metrics)
    check_options(
        similarity=similarity,
        lone=lone,
        chunk_size=chunk_size,
        ties=ties,
        average=average,
    )
    _check_engine(engine, metrics, similarity, ties, ignored)
    own = queries_are_gallery(gallery, gallery_labels)
    queries = check_embeddings("embeddings", embeddings, mapped=True)
    labels = check_labels("labels", labels, len(queries))
    if own:
        gallery, gallery_labels = queries, labels
    else:
        gallery = check_embeddings("gallery", gallery, mapped=True)
        gallery_labels = check_labels("gallery_labels", gallery_labels, len(gallery))
        check_same_size(queries, gallery)
    codes, gallery_codes = encode_both(labels, gallery_labels)
    counts = count_relevant(codes, gallery_codes, own)
    longest = shortest = len(gallery) - own
    if ignored is not None:
        ignored = check_ignored(ignored, len(queries), len(gallery))
        left_out, relevant = count_ignored(ignored, codes, gallery_codes, own)
        counts = counts - relevant
        longest, shortest = longest - left_out.min(), shortest - left_out.max()
    ks = ks if any(name in _AT_K for name in metrics) else ()
    check_ks(ks, shortest)
    _check_not_all_lone(counts, lone)

    depth = _depth(metrics, ks, counts, longest)
    bar = keras.utils.Progbar(len(queries), verbose=verbose)
    exact = engine == "exact"
    options = {"depth": depth, "chunk_size": chunk_size, "advance": bar.add}
    if exact:
        chunks = ranked_relevance(
            queries,
            codes,
            gallery,
            gallery_codes,
            similarity=similarity,
            ties=ties,
            own=own,
            ignored=ignored,
            **options,
        )
    else:
        approximate = ApproximateEngine(engine, gallery, similarity, own)
        chunks = approximate.ranked_relevance(queries, codes, gallery_codes, **options)
    scores = [
        _score(metrics, relevance, counts[rows], ks) for rows, relevance in chunks
    ]
    result = {}
    for name in scores[0]:
        counted = _counted(name, counts, lone)
        values = np.concatenate([chunk[name] for chunk in scores])[counted]
        result[name] = _averaged(values, codes[counted], labels[counted], average)
    if not exact:
        result |= approximate.recall(queries, sorted({*ks, depth}))
    return result


def lone_queries(labels, gallery_labels=None):
    """Counts the queries that have no relevant item in the gallery.

    Args:
        labels: `(q,)` classes of the queries: integers of any size, or strings.
        gallery_labels: `(r,)` classes of the gallery; None: the queries are the
            gallery, and none is relevant to itself.

    Returns:
        The number of lone queries, 0 … q.

    Raises:
        ValueError: If labels are floats or not `(n,)`.

    Example:

    >>> metrics.lone_queries(["ant", "ant", "bee"])
    1
    """
    own = gallery_labels is None
    labels = check_labels("labels", labels)
    if not own:
        gallery_labels = check_labels("gallery_labels", gallery_labels)
    codes = encode_both(labels, labels if own else gallery_labels)
    return int(np.sum(count_relevant(*codes, own) == 0))


def _depth(metrics, ks, counts, gallery_size):
    if any(name in _OF_ALL for name in metrics):
        return gallery_size
    within_r = any(name in _WITHIN_R for name in metrics)
    return int(max(*ks, 1, counts.max() if within_r else 1))


def _score(metrics, relevance, counts, ks):
    scores = {}
    for name in metrics:
        if name in _AT_K:
            for k in ks:
                scores[f"{name[:-1]}{k}"] = _AT_K[name](relevance, counts, k)
        else:
            scores[name] = (_WITHIN_R | _OF_ALL)[name](relevance, counts)
    return scores


def _counted(name, counts, lone):
    """Returns which queries enter the average of a metric, `(q,)` booleans."""
    if lone is None:
        zero = name.startswith(("recall_at_", "precision_at_"))
        lone = "zero" if zero else "exclude"
    return counts > 0 if lone == "exclude" else np.ones_like(counts, bool)


def _averaged(values, codes, labels, average):
    if average == "micro":
        return float(np.mean(values))
    _, first, codes = np.unique(codes, return_index=True, return_inverse=True)
    means = np.bincount(codes, weights=values) / np.bincount(codes)
    if average == "macro":
        return float(np.mean(means))
    return dict(zip(labels[first].tolist(), means.tolist(), strict=True))


def _check_metrics(metrics):
    if isinstance(metrics, str) or not metrics or not set(metrics) <= set(RANKED):
        raise ValueError(
            f"`metrics` must be one or more of {', '.join(map(repr, RANKED))}. "
            f"Received: metrics={metrics!r}."
        )


def _check_engine(engine, metrics, similarity, ties, ignored):
    if isinstance(engine, str) and engine not in ("exact", "scann"):
        raise ValueError(
            "`engine` must be 'exact', 'scann' or an index of the gallery. "
            f"Received: engine={engine!r}."
        )
    if engine == "exact":
        return
    for name, value, fits in [
        ("metrics", metrics, not set(metrics) & set(_OF_ALL)),
        ("similarity", similarity, similarity in SIMILARITIES),
        ("ties", ties, ties == "index"),
        ("ignored", ignored, ignored is None),
    ]:
        if not fits:
            raise ValueError(
                f"An index as `engine` cannot do what `{name}` asks for: it finds "
                f"short lists, by {', '.join(map(repr, SIMILARITIES))}, ties in any "
                f'order. Received: {name}={value!r}. `engine="exact"` can.'
            )


def _check_not_all_lone(counts, lone):
    if lone != "zero" and not counts.any():
        raise ValueError(
            "No query has an item of its class in the gallery, so there is nothing to "
            "find. Are `labels` and `gallery_labels` encoded alike? "
            'With `lone="zero"` all metrics are 0.'
        )
