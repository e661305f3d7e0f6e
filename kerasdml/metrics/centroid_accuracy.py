"""Accuracy of the nearest class mean."""

import numpy as np

from kerasdml.metrics.checks import (
    check_embeddings,
    check_labels,
    queries_are_gallery,
)
from kerasdml.metrics.retrieval import retrieval


def centroid_accuracy(
    embeddings,
    labels,
    gallery=None,
    gallery_labels=None,
    *,
    similarity="euclidean",
    average="micro",
):
    """Computes how many examples are nearest to the mean of their own class.

    The means are those of the gallery. Without one they are those of the examples
    themselves, each of which is part of its own, so that one alone in its class is
    always right. Where means are equally near, the class that sorts first counts.

    Args:
        embeddings: `(q, d)` examples.
        labels: `(q,)` their classes: integers of any size, or strings.
        gallery: `(r, d)` embeddings whose class means count; None: the examples.
        gallery_labels: `(r,)` classes of the gallery, of the same kind as `labels`. An
            example of a class that is not among them counts as wrong.
        similarity: One of `ops.SIMILARITIES`, by which a mean is near; "euclidean" by
            default, which a mean is the middle by. With "cosine" the means are those of
            the embeddings at length 1.
        average: "micro", the mean over examples, or "macro", the mean over classes of
            the mean over their examples.

    Returns:
        A float, 0 … 1.

    Raises:
        ValueError: As `metrics.retrieval` does.

    Example:

    >>> metrics.centroid_accuracy(np.array([[0.0], [2.0], [3.0]]), ["a", "a", "b"])
    0.6666666666666666
    """
    own = queries_are_gallery(gallery, gallery_labels)
    embeddings = check_embeddings("embeddings", embeddings)
    labels = check_labels("labels", labels, len(embeddings))
    if own:
        gallery, gallery_labels = embeddings, labels
    else:
        gallery = check_embeddings("gallery", gallery)
        gallery_labels = check_labels("gallery_labels", gallery_labels, len(gallery))
    if similarity == "cosine":
        lengths = np.linalg.norm(gallery, axis=1, keepdims=True)
        gallery = gallery / np.where(lengths > 0, lengths, 1.0)
    means, classes = _means(gallery, gallery_labels)
    found = retrieval(
        embeddings,
        labels,
        means,
        classes,
        ks=(1,),
        similarity=similarity,
        average=average,
        lone="zero",
    )
    return found["recall_at_1"]


def _means(embeddings, labels):
    """Returns `(c, d)` the mean of each class, and `(c,)` the classes."""
    classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    in_order = embeddings[np.argsort(codes, kind="stable")]
    starts = np.cumsum(counts) - counts
    sums = np.add.reduceat(in_order, starts, axis=0, dtype=float)
    return sums / counts[:, None], classes
