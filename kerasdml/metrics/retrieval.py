"""Retrieval metrics of a whole set."""

import numbers

import keras
import numpy as np

from kerasdml.metrics.approximate import CHUNK_SIZE, SIMILARITIES, ApproximateEngine
from kerasdml.metrics.comparison import in_pieces
from kerasdml.metrics.map_at_all import map_at_all, voc_map_at_all
from kerasdml.metrics.map_at_k import map_at_k
from kerasdml.metrics.map_at_r import map_at_r
from kerasdml.metrics.mrr import mrr
from kerasdml.metrics.ndcg import ndcg_at_k
from kerasdml.metrics.precision import precision_at_k
from kerasdml.metrics.r_precision import r_precision
from kerasdml.metrics.ranking import TIES, default_chunk_size, ranked_relevance
from kerasdml.metrics.recall import recall_at_k
from kerasdml.metrics.share_found import share_found_at_k
from kerasdml.ops import check_similarity

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
            as make 32 MiB of similarities, or 4096 with "scann".
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
    codes, gallery_codes = _encode(labels, gallery_labels)
    counts = _count_relevant(codes, gallery_codes, own)
    longest = shortest = len(gallery) - own
    if ignored is not None:
        ignored = check_ignored(ignored, len(queries), len(gallery))
        left_out, relevant = _count_ignored(ignored, codes, gallery_codes, own)
        counts = counts - relevant
        longest, shortest = longest - left_out.min(), shortest - left_out.max()
    ks = ks if any(name in _AT_K for name in metrics) else ()
    check_ks(ks, shortest)
    _check_not_all_lone(counts, lone)

    depth = _depth(metrics, ks, counts, longest)
    exact = engine == "exact"
    if exact:
        chunk_size = chunk_size or default_chunk_size(len(gallery))
        chunks = ranked_relevance(
            queries,
            codes,
            gallery,
            gallery_codes,
            similarity=similarity,
            ties=ties,
            own=own,
            depth=depth,
            chunk_size=chunk_size,
            ignored=ignored,
        )
    else:
        chunk_size = chunk_size or CHUNK_SIZE
        approximate = ApproximateEngine(engine, gallery, similarity, own)
        chunks = approximate.ranked_relevance(
            queries, codes, gallery_codes, depth=depth, chunk_size=chunk_size
        )
    bar = keras.utils.Progbar(-(-len(queries) // chunk_size), verbose=verbose)
    scores = []
    for rows, relevance in chunks:
        scores.append(_score(metrics, relevance, counts[rows], ks))
        bar.add(1)
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
    codes = _encode(labels, labels if own else gallery_labels)
    return int(np.sum(_count_relevant(*codes, own) == 0))


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


def _encode(labels, gallery_labels):
    """Returns the labels of both as int32 codes: 0 … c-1, equal where labels are.

    On the host, because a tensor would round or wrap large ids and refuse strings.
    """
    # As objects, since NumPy would turn 1 beside "1" into "1", and mixed signed and
    # unsigned integers into floats.
    if labels.dtype != gallery_labels.dtype:
        labels, gallery_labels = labels.astype(object), gallery_labels.astype(object)
    try:
        _, codes = np.unique(
            np.concatenate([labels, gallery_labels]), return_inverse=True
        )
    except TypeError as error:
        raise ValueError(
            "`labels` and `gallery_labels` must be of one kind, integers or strings. "
            f"Received a mixture: {error}."
        ) from error
    codes = codes.astype("int32")
    return codes[: len(labels)], codes[len(labels) :]


def _count_relevant(codes, gallery_codes, own):
    """Returns R, the relevant gallery items of each query, `(q,)`."""
    sizes = np.bincount(gallery_codes, minlength=codes.max(initial=-1) + 1)
    return sizes[codes] - own


def _count_ignored(ignored, codes, gallery_codes, own):
    """Returns how many items of each query are ignored, and how many relevant ones.

    Each item once, however often it is named, and the query itself never.
    """
    ignored = np.sort(ignored, axis=1)
    counted = ignored >= 0
    counted[:, 1:] &= ignored[:, 1:] != ignored[:, :-1]
    if own:
        counted &= ignored != np.arange(len(ignored))[:, None]
    relevant = counted & (gallery_codes[ignored] == codes[:, None])
    return counted.sum(axis=1), relevant.sum(axis=1)


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


def check_options(*, similarity, lone, chunk_size, ties="index", average="micro"):
    check_similarity(similarity)
    for name, value, allowed in [
        ("ties", ties, TIES),
        ("lone", lone, (None, "exclude", "zero")),
        ("average", average, ("micro", "macro", "class")),
    ]:
        if value not in allowed:
            raise ValueError(
                f"`{name}` must be one of {', '.join(map(repr, allowed))}. "
                f"Received: {name}={value!r}."
            )
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(
            f"`chunk_size` must be at least 1. Received: chunk_size={chunk_size}."
        )


def queries_are_gallery(gallery, gallery_labels, *, labels="gallery_labels"):
    if (gallery is None) != (gallery_labels is None):
        given, missing = "gallery", labels
        if gallery is None:
            given, missing = missing, given
        raise ValueError(
            f"`gallery` and `{labels}` must be given together. "
            f"Received `{given}` without `{missing}`."
        )
    return gallery is None


def check_embeddings(name, embeddings, *, mapped=False):
    """Returns the embeddings as a float32 array, or raises.

    With `mapped`, those in a memory-mapped file are returned as they are.
    """
    if not (mapped and isinstance(embeddings, np.memmap)):
        embeddings = np.asarray(embeddings, "float32")
    if embeddings.ndim != 2 or 0 in embeddings.shape:
        raise ValueError(
            f"`{name}` must have the shape `(n, d)`, with at least one row and column. "
            f"Received: {name} of shape {embeddings.shape}."
        )
    finite = [np.isfinite(piece).all(axis=1) for piece in in_pieces(embeddings)]
    bad = np.flatnonzero(~np.concatenate(finite))
    if bad.size:
        raise ValueError(
            f"`{name}` must be finite, but {bad.size} of {len(embeddings)} rows hold "
            f"NaN or infinity, row {bad[0]} first. Has training diverged?"
        )
    return embeddings


def check_same_size(queries, gallery):
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            "`embeddings` and `gallery` must have the same embedding size. "
            f"Received: {queries.shape[1]} and {gallery.shape[1]}."
        )


def check_labels(name, labels, count=None):
    """Returns the labels as an array `(n,)`, or raises."""
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]  # as Keras' own data sets have them
    if labels.ndim != 1 or count not in (None, len(labels)):
        raise ValueError(
            f"`{name}` must have one label per embedding, the shape "
            f"`({'n' if count is None else count},)`. "
            f"Received: {name} of shape {labels.shape}."
        )
    if labels.dtype.kind not in "biuSUO":
        raise ValueError(
            f"`{name}` must be integers or strings: floats would merge large ids. "
            f"Received: {name} of dtype {labels.dtype}."
        )
    return labels


def check_ignored(ignored, queries, gallery_size):
    """Returns the indices as an array `(queries, m)`, or raises."""
    ignored = np.asarray(ignored)
    if ignored.ndim != 2 or len(ignored) != queries or ignored.dtype.kind not in "iu":
        raise ValueError(
            f"`ignored` must be integers, a row per query, the shape `({queries}, m)`. "
            f"Received: ignored of shape {ignored.shape} and dtype {ignored.dtype}."
        )
    if ignored.size and not -1 <= ignored.min() <= ignored.max() < gallery_size:
        raise ValueError(
            "`ignored` must be indices of the gallery, from 0 to "
            f"{gallery_size - 1}, or -1 for none. "
            f"Received: from {ignored.min()} to {ignored.max()}."
        )
    return ignored.astype("int64")


def check_ks(ks, gallery_size):
    if gallery_size < 1:
        raise ValueError(
            "A query needs something to find. Received: one embedding, no `gallery`."
        )
    for k in ks:
        if not isinstance(k, numbers.Integral) or not 1 <= k <= gallery_size:
            raise ValueError(
                "`ks` must be whole numbers from 1 to the size of the gallery, here "
                f"{gallery_size} (without what is left out). Received: ks={tuple(ks)}."
            )


def _check_not_all_lone(counts, lone):
    if lone != "zero" and not counts.any():
        raise ValueError(
            "No query has an item of its class in the gallery, so there is nothing to "
            "find. Are `labels` and `gallery_labels` encoded alike? "
            'With `lone="zero"` all metrics are 0.'
        )
