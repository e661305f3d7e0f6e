"""What sources ask of the labels of a batch."""

from keras import ops

from kerasdml.references.base import References


def check_class_ids(source, labels):
    """Raises a `ValueError` if labels are tags, where `source` needs class ids."""
    if len(labels.shape) > 1:
        raise ValueError(
            f"{type(source).__name__} needs one class id an example, of shape (q,) or "
            f"(q, 1). Received: labels of shape {tuple(labels.shape)}."
        )


def rows_of_classes(labels, num_classes):
    """Returns in which of `num_classes + 1` rows each class is kept; -1 in the last.

    Returns:
        `(q,)` rows; and whether any label is outside -1 … num_classes - 1.
    """
    known = ops.logical_and(labels >= 0, labels < num_classes)
    outside = ops.any(ops.logical_not(ops.logical_or(known, labels == -1)))
    return ops.cast(ops.where(known, labels, num_classes), "int32"), outside


def no_references(batch):
    """Returns `References` without any."""
    return References(*(x[:0] for x in batch))


def copies_of(batch, embeddings, where=None):
    """Returns `embeddings (t, q, d)` as `References`, t copies of the batch.

    Args:
        batch: `References` of q examples.
        embeddings: `(t, q, d)`.
        where: `(q,)` or `(t, q)`, which of them there are; by default all.
    """
    shape = ops.shape(embeddings)[:2]
    labels = ops.broadcast_to(batch.labels, shape)
    if where is not None:
        labels = ops.where(where, labels, -1)
    return References(
        ops.reshape(embeddings, (-1, embeddings.shape[-1])),
        ops.reshape(labels, (-1,)),
        ops.reshape(ops.broadcast_to(batch.copy_of, shape), (-1,)),
    )
