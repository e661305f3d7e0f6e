"""Identification where not every query is of a known class."""

import numpy as np
from keras import ops

from kerasdml.metrics.checks import (
    check_embeddings,
    check_labels,
    queries_are_gallery,
)
from kerasdml.metrics.ranking import default_chunk_size
from kerasdml.ops import check_similarity, similarities


def open_set(
    embeddings,
    labels,
    gallery=None,
    gallery_labels=None,
    *,
    threshold,
    similarity="cosine",
    chunk_size=None,
):
    """Computes how often a search names a wrong class, or misses the right one.

    A query is identified as the class of the nearest item of the gallery if that is
    similar enough, and as unknown otherwise. It is unknown indeed if its class is not
    in the gallery. Without a `gallery` the queries are the gallery, each is left out
    of its own search, and those alone in their class are the unknown ones. Of equally
    near items the one of lower index counts.

    Args:
        embeddings: `(q, d)` queries.
        labels: `(q,)` their classes: integers of any size, or strings.
        gallery: `(r, d)` embeddings to search; None: the queries themselves.
        gallery_labels: `(r,)` classes of the gallery, of the same kind as `labels`.
        threshold: The least similarity of a match, as `metrics.calibrate` finds it:
            `calibration.best_f1.threshold`.
        similarity: How embeddings compare, one of `ops.SIMILARITIES`.
        chunk_size: Queries compared with the gallery at a time, >= 1. None: as many
            as make 32 MiB of similarities.

    Returns:
        A dict of floats. Rates, 0 … 1: `false_identification`, of unknown queries that
        are given a class; `missed_identification`, of known ones that are not given
        theirs, the sum of `rejected`, nothing is similar enough, and `misidentified`,
        given another. Counts: `known` and `unknown` queries.

    Raises:
        ValueError: If shapes do not fit, an embedding is NaN or infinite, the threshold
            is NaN, or the queries are all known or all unknown.

    Example:

    >>> metrics.open_set(queries, classes, gallery, gallery_classes, threshold=0.7)

    Source: the false-positive and false-negative identification rates of Grother et
    al., "Face Recognition Vendor Test Part 2: Identification", NISTIR 8271, 2019, at
    rank 1.
    """
    check_similarity(similarity)
    own = queries_are_gallery(gallery, gallery_labels)
    embeddings = check_embeddings("embeddings", embeddings)
    labels = check_labels("labels", labels, len(embeddings)).tolist()
    if own:
        gallery, gallery_labels = embeddings, labels
    else:
        gallery = check_embeddings("gallery", gallery)
        gallery_labels = check_labels("gallery_labels", gallery_labels, len(gallery))
        gallery_labels = gallery_labels.tolist()
    if embeddings.shape[1] != gallery.shape[1]:
        raise ValueError(
            "`embeddings` and `gallery` must have the same embedding size. "
            f"Received: {embeddings.shape[1]} and {gallery.shape[1]}."
        )
    if np.isnan(threshold):
        raise ValueError("`threshold` must be a number. Received: threshold=nan.")
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(
            f"`chunk_size` must be at least 1. Received: chunk_size={chunk_size}."
        )
    known = _known(labels, gallery_labels, own)
    nearest, scores = _nearest(embeddings, gallery, similarity, own, chunk_size)
    # Compared in Python, where neither large ids nor mixed kinds turn into others.
    right = np.array(
        [a == gallery_labels[i] for a, i in zip(labels, nearest, strict=True)]
    )
    accepted = scores >= threshold
    rejected = np.mean(~accepted[known])
    misidentified = np.mean((accepted & ~right)[known])
    return {
        "false_identification": float(np.mean(accepted[~known])),
        "missed_identification": float(rejected + misidentified),
        "rejected": float(rejected),
        "misidentified": float(misidentified),
        "known": float(np.sum(known)),
        "unknown": float(np.sum(~known)),
    }


def _known(labels, gallery_labels, own):
    counts = {}
    for label in gallery_labels:
        counts[label] = counts.get(label, 0) + 1
    known = np.array([counts.get(label, 0) > own for label in labels])
    if known.all() or not known.any():
        kind = "known" if known.all() else "unknown"
        raise ValueError(
            "There must be queries of classes in the gallery and queries of others. "
            f"Received: {len(known)} queries, all {kind}. Are `labels` and "
            "`gallery_labels` encoded alike?"
        )
    return known


def _nearest(embeddings, gallery, similarity, own, chunk_size):
    """Returns `(q,)` the index of the nearest item of each query, and how near."""
    nearest, scores = [], []
    chunk_size = chunk_size or default_chunk_size(len(gallery))
    for start in range(0, len(embeddings), chunk_size):
        rows = embeddings[start : start + chunk_size]
        found = similarities(rows, gallery, similarity)
        if own:
            itself = np.arange(start, start + len(rows))[:, None] == np.arange(
                len(gallery)
            )
            found = ops.where(itself, -np.inf, found)
        nearest.append(ops.convert_to_numpy(ops.argmax(found, axis=1)))
        scores.append(ops.convert_to_numpy(ops.max(found, axis=1)))
    return np.concatenate(nearest), np.concatenate(scores).astype(float)
