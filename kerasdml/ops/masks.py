"""Which pairs are alike, which differ."""

import keras
import numpy as np
from keras import ops

NEVER_POSITIVE = -2


def standardize_labels(labels):
    """Returns class ids as `(q,)` integers, and tags as `(q, l)` floats.

    Class ids are integers `(q,)` or `(q, 1)`. Narrow and unsigned ones, such as bytes,
    are widened: they have no room for -1, or for the number of classes. Tags are
    `(q, l)` with l of at least 2: multi-hot, or grades 0 … 1.

    Raises:
        ValueError: If they have any other shape.
    """
    labels = ops.convert_to_tensor(labels)
    if len(labels.shape) == 2 and labels.shape[1] != 1:
        return ops.cast(labels, "float32")
    return flatten_labels(labels)


def flatten_labels(labels):
    """Returns integer `labels` of shape `(q,)` or `(q, 1)` as `(q,)`, widened.

    Raises:
        ValueError: If they have any other shape.
    """
    labels = ops.convert_to_tensor(labels)
    if keras.backend.standardize_dtype(labels.dtype) not in ("int32", "int64"):
        widest = "int32" if keras.backend.backend() == "jax" else "int64"
        labels = ops.cast(labels, widest)
    shape = tuple(labels.shape)
    if len(shape) == 2 and shape[1] == 1:
        return ops.reshape(labels, (-1,))
    if len(shape) != 1:
        raise ValueError(
            "Labels must be one class id per example, of shape (q,) or (q, 1). "
            f"Received: shape {shape}."
        )
    return labels


def check_classes(labels, num_classes):
    """Raises a `ValueError` if concrete labels are not 0 … num_classes - 1, or -1."""
    highest, lowest = np.max(labels, initial=0), np.min(labels, initial=0)
    if highest >= num_classes or lowest < -1:
        raise ValueError(
            f"Labels must be 0 … {num_classes - 1} for `num_classes={num_classes}` "
            f"(or -1: no class). Received: {lowest} … {highest}."
        )


def pair_masks(
    labels, reference_labels, copy_of, positive_at=0.5, negative_at=0.25, rows=None
):
    """Says which pairs are positive and which negative.

    Examples of one class are positive, of different classes negative. Examples with
    tags are compared by `tag_similarities`: positive from `positive_at` up, negative
    from `negative_at` down, and neither between.

    Args:
        labels: `(q,)` class ids, or `(q, l)` tags. An id of -1, and a row of zeros,
            mark an example without a class, which forms no pairs.
        reference_labels: `(r,)` or `(r, l)`, likewise.
        copy_of: `(r,)` the row that a reference is the very same example as, or -1; or
            `NEVER_POSITIVE`, -2, of one that pushes other classes away and pulls none.
        positive_at: Similarity of tags, above `negative_at`, at most 1.
        negative_at: Similarity of tags, at least 0.
        rows: `(q,)` the rows of the batch that the anchors are; by default 0 … q - 1.

    Returns:
        `positives, negatives`: two `(q, r)` booleans, both false between an example
        and itself.
    """
    if rows is None:
        rows = ops.arange(ops.shape(labels)[0], dtype="int32")
    rows, copy_of = ops.cast(rows, "int32"), ops.cast(copy_of, "int32")
    other = rows[:, None] != copy_of[None, :]
    pairs = ops.logical_and(known(labels)[:, None], known(reference_labels)[None, :])
    pairs = ops.logical_and(pairs, other)
    if len(labels.shape) == 1:
        same = labels[:, None] == reference_labels[None, :]
        different = ops.logical_not(same)
    else:
        alike = tag_similarities(labels, reference_labels)
        same, different = alike >= positive_at, alike <= negative_at
    same = ops.logical_and(same, (copy_of != NEVER_POSITIVE)[None, :])
    return ops.logical_and(pairs, same), ops.logical_and(pairs, different)


def known(labels):
    """Returns `(q,)` whether an example has a class, or any tag."""
    if len(labels.shape) == 1:
        return labels != -1
    return ops.any(labels > 0.0, axis=1)


def tag_similarities(labels, reference_labels):
    """Returns the Jaccard similarity of tags, `(q, r)`, 0 … 1.

    Of multi-hot labels it is the number of tags in both over the number in either; of
    grades its usual extension, `a·b / (a·a + b·b - a·b)`, also called Tanimoto's.
    Without a tag on either side it is 0.

    Args:
        labels: `(q, l)` tags, 0 … 1.
        reference_labels: `(r, l)` tags, 0 … 1.
    """
    both = ops.matmul(labels, ops.transpose(reference_labels))
    squares = ops.sum(labels**2, axis=1)[:, None]
    either = squares + ops.sum(reference_labels**2, axis=1) - both
    some = either > 0.0
    return ops.where(some, both / ops.where(some, either, 1.0), 0.0)
