"""What metrics demand of their arguments."""

import numbers

import numpy as np

from kerasdml.metrics.comparison import in_pieces
from kerasdml.metrics.ranking import TIES
from kerasdml.ops import check_similarity


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
