"""Which examples of a batch are the anchor and the positive of one pair."""

from keras import ops


def pair_in_order(labels):
    """Pairs the examples of each class in order: first with second, third with fourth.

    Args:
        labels: `(q,)` class ids; an example with -1, or the last of an odd number, has
            no partner.

    Returns:
        `partners (q, q)`, true from an anchor to its positive; `is_anchor (q,)` and
        `is_positive (q,)`.
    """
    size = ops.shape(labels)[0]
    rows = ops.arange(size)
    same = ops.logical_and(labels[:, None] == labels, (labels != -1)[:, None])
    earlier = ops.logical_and(same, rows[:, None] > rows)
    rank = ops.sum(ops.cast(earlier, "int32"), axis=1)
    follows = ops.logical_and(same, rank[:, None] + 1 == rank)
    partners = ops.logical_and(follows, (rank % 2 == 0)[:, None])
    return partners, ops.any(partners, axis=1), ops.any(partners, axis=0)


def paired_views(labels, embeddings):
    """Returns the two views of each image, row beside row.

    Examples with the same label are the views of one image, paired as `pair_in_order`
    has it.

    Args:
        labels: `(q,)` numbers of the images, or class ids.
        embeddings: `(q, d)`.

    Returns:
        `first, second, paired`: two `(q, d)` and a `(q,)` boolean. Where that is true,
        the rows are the two views of an image; where not, both are 0.
    """
    partners, paired, _ = pair_in_order(labels)
    partner = ops.argmax(ops.cast(partners, "int32"), axis=1)
    second = ops.take(embeddings, partner, axis=0)
    first, second = (ops.where(paired[:, None], x, 0.0) for x in (embeddings, second))
    return first, second, paired


def centered(x, rows):
    """Returns `x (n, d)` less the mean over its `rows (n,)`; other rows are 0."""
    rows = ops.cast(rows, x.dtype)[:, None]
    mean = ops.sum(rows * x, axis=0) / ops.maximum(ops.sum(rows), 1.0)
    return rows * (x - mean)
