"""Retrieval metrics of a whole set."""

import numbers

import keras
import numpy as np

from kerasdml.metrics.map_at_r import map_at_r
from kerasdml.metrics.precision import precision_at_k
from kerasdml.metrics.r_precision import r_precision
from kerasdml.metrics.ranking import TIES, default_chunk_size, ranked_relevance
from kerasdml.metrics.recall import recall_at_k
from kerasdml.ops import check_similarity


def retrieval(
    embeddings,
    labels,
    gallery=None,
    gallery_labels=None,
    *,
    ks=(1, 10),
    similarity="cosine",
    ties="index",
    lone=None,
    average="micro",
    chunk_size=None,
    verbose=0,
):
    """Computes recall@k, precision@k, R-Precision and MAP@R, exactly.

    Every query ranks the whole gallery. Without a `gallery` the queries are the
    gallery, and each is left out of its own list by its index, so exact duplicates
    count like any other item. Memory grows with the gallery, never with its square.

    A *lone* query has no relevant item: recall@k and precision@k count it as 0,
    R-Precision and MAP@R are undefined for it and leave it out. `lone_queries` counts
    them. Similarities are float32: items nearer to each other than that resolves may
    tie or trade places (sooner on GPUs, where matrix products may use TF32).

    Args:
        embeddings: `(q, d)` queries.
        labels: `(q,)` their classes: integers of any size, or strings.
        gallery: `(r, d)` embeddings to search; None: the queries themselves.
        gallery_labels: `(r,)` classes of the gallery, of the same kind as `labels`.
        ks: Lengths of the lists for recall@k and precision@k, each from 1 to the size
            of the gallery (one less where the queries are the gallery).
        similarity: How embeddings compare, as in `ops.similarities`: "cosine", "dot",
            "euclidean", "squared_euclidean", "manhattan", "signal_to_noise" or
            "hyperbolic".
        ties: Which of equally near items comes first. "index": the one of lower
            index, as a search engine would give it; "optimistic": a relevant one;
            "pessimistic": an irrelevant one. The last two bound what any order of the
            data can give, and tell an embedding that has collapsed to a point.
        lone: "zero" counts lone queries as 0, "exclude" leaves them out, in every
            metric. None: as said above, the custom of the literature.
        average: "micro", the mean over queries, or "macro", the mean over classes of
            the mean over their queries.
        chunk_size: Queries compared with the gallery at a time, >= 1. None: as many
            as make 64 MiB of similarities.
        verbose: 0 is silent, 1 shows a progress bar.

    Returns:
        A dict of floats, 0 … 1: `recall_at_{k}` and `precision_at_{k}` for every k,
        `r_precision` and `map_at_r`.

    Raises:
        ValueError: If shapes do not fit, an embedding is NaN or infinite, labels are
            floats or not one per embedding, a k is larger than the gallery, all
            queries are lone (unless `lone="zero"`), or an option is unknown.

    Example:

    >>> metrics.retrieval(embedder.predict(images), labels)["recall_at_1"]

    Source: recall@k as in Oh Song et al., CVPR 2016, https://arxiv.org/abs/1511.06452;
    R-Precision and MAP@R as in Musgrave et al., ECCV 2020,
    https://arxiv.org/abs/2003.08505.
    """
    _check_options(similarity, ties, lone, average, chunk_size)
    own = queries_are_gallery(gallery, gallery_labels)
    queries = check_embeddings("embeddings", embeddings)
    labels = check_labels("labels", labels, len(queries))
    if own:
        gallery, gallery_labels = queries, labels
    else:
        gallery = check_embeddings("gallery", gallery)
        gallery_labels = check_labels("gallery_labels", gallery_labels, len(gallery))
        _check_same_size(queries, gallery)
    codes, gallery_codes = _encode(labels, gallery_labels)
    counts = _count_relevant(codes, gallery_codes, own)
    _check_ks(ks, len(gallery) - own)
    _check_not_all_lone(counts, lone)

    chunk_size = chunk_size or default_chunk_size(len(gallery))
    chunks = ranked_relevance(
        queries,
        codes,
        gallery,
        gallery_codes,
        similarity=similarity,
        ties=ties,
        own=own,
        depth=int(max(*ks, 1, counts.max())),
        chunk_size=chunk_size,
    )
    bar = keras.utils.Progbar(-(-len(queries) // chunk_size), verbose=verbose)
    scores = []
    for rows, relevance in chunks:
        scores.append(_score(relevance, counts[rows], ks))
        bar.add(1)
    return {
        name: _mean(
            np.concatenate([chunk[name] for chunk in scores]),
            codes,
            _counted(name, counts, lone),
            average,
        )
        for name in scores[0]
    }


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


def _score(relevance, counts, ks):
    scores = {}
    for k in ks:
        scores[f"recall_at_{k}"] = recall_at_k(relevance, k)
    for k in ks:
        scores[f"precision_at_{k}"] = precision_at_k(relevance, k)
    scores["r_precision"] = r_precision(relevance, counts)
    scores["map_at_r"] = map_at_r(relevance, counts)
    return scores


def _counted(name, counts, lone):
    """Returns which queries enter the average of a metric, `(q,)` booleans."""
    if lone is None:
        lone = "exclude" if name in ("r_precision", "map_at_r") else "zero"
    return counts > 0 if lone == "exclude" else np.ones_like(counts, bool)


def _mean(scores, codes, counted, average):
    scores, codes = scores[counted], codes[counted]
    if average == "micro":
        return float(np.mean(scores))
    sizes = np.bincount(codes)
    means = np.bincount(codes, weights=scores) / np.maximum(sizes, 1)
    return float(np.mean(means[sizes > 0]))


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


def _check_options(similarity, ties, lone, average, chunk_size):
    check_similarity(similarity)
    for name, value, allowed in [
        ("ties", ties, TIES),
        ("lone", lone, (None, "exclude", "zero")),
        ("average", average, ("micro", "macro")),
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


def queries_are_gallery(gallery, gallery_labels):
    if (gallery is None) != (gallery_labels is None):
        given, missing = "gallery", "gallery_labels"
        if gallery is None:
            given, missing = missing, given
        raise ValueError(
            "`gallery` and `gallery_labels` must be given together. "
            f"Received `{given}` without `{missing}`."
        )
    return gallery is None


def check_embeddings(name, embeddings):
    """Returns the embeddings as a float32 array, or raises."""
    embeddings = np.asarray(embeddings, "float32")
    if embeddings.ndim != 2 or 0 in embeddings.shape:
        raise ValueError(
            f"`{name}` must have the shape `(n, d)`, with at least one row and column. "
            f"Received: {name} of shape {embeddings.shape}."
        )
    bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if bad.size:
        raise ValueError(
            f"`{name}` must be finite, but {bad.size} of {len(embeddings)} rows hold "
            f"NaN or infinity, row {bad[0]} first. Has training diverged?"
        )
    return embeddings


def _check_same_size(queries, gallery):
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


def _check_ks(ks, gallery_size):
    for k in ks:
        if not isinstance(k, numbers.Integral) or not 1 <= k <= gallery_size:
            raise ValueError(
                "`ks` must be whole numbers from 1 to the size of the gallery, here "
                f"{gallery_size} (without the query itself). Received: ks={tuple(ks)}."
            )


def _check_not_all_lone(counts, lone):
    if lone != "zero" and not counts.any():
        raise ValueError(
            "No query has an item of its class in the gallery, so there is nothing to "
            "find. Are `labels` and `gallery_labels` encoded alike? "
            'With `lone="zero"` all metrics are 0.'
        )
