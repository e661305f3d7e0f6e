"""Which pairs are alike, which differ."""

import keras
from keras import ops


def flatten_labels(labels):
    """Returns integer `labels` of shape `(q,)` or `(q, 1)` as `(q,)`.

    Narrow and unsigned ones, such as bytes, are widened: they have no room for -1, or
    for the number of classes.

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


def pair_masks(labels, reference_labels, copy_of):
    """Says which pairs are positive and which negative.

    Args:
        labels: `(q,)` class ids; an id of -1 marks an example without a class, which
            forms no pairs.
        reference_labels: `(r,)` class ids; -1 marks an empty slot.
        copy_of: `(r,)` the row that a reference is the very same example as, or -1.

    Returns:
        `positives, negatives`: two `(q, r)` booleans, both false between an example
        and itself.
    """
    labels, references = labels[:, None], reference_labels[None, :]
    known = ops.logical_and(labels != -1, references != -1)
    same = labels == references
    rows = ops.arange(ops.shape(labels)[0], dtype="int32")[:, None]
    other = rows != ops.cast(copy_of, "int32")[None, :]
    positives = ops.logical_and(ops.logical_and(same, other), known)
    return positives, ops.logical_and(ops.logical_not(same), known)
