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


def class_order(labels):
    """Lists the rows of a batch class by class.

    Args:
        labels: `(q,)` integers; -1 counts as a class.

    Returns:
        `order (q,)`, the rows, those of the lowest class first; and of each row
        `first (q,)`, where its class begins in that list, `rank (q,)`, which of its
        class it is, 0 … , and `count (q,)`, how many of its class there are.
    """
    rows = ops.arange(ops.shape(labels)[0], dtype="int32")
    same = labels[:, None] == labels
    rank = _counted(ops.logical_and(same, rows[:, None] > rows))
    first = _counted(labels[:, None] > labels)
    order = ops.scatter_update(ops.zeros_like(rows), (first + rank)[:, None], rows)
    return order, first, rank, _counted(same)


def next_of_class(labels):
    """Pairs each example with the next of its class, the last with the first.

    Args:
        labels: `(q,)` class ids; -1 is none.

    Returns:
        `partner (q,)` rows; and `again (q,)` and `alone (q,)`, whether a pair is there
        already, the other way round, and whether an example is its own partner.
    """
    order, first, rank, count = class_order(labels)
    partner = ops.take(order, first + (rank + 1) % count)
    alone = ops.logical_or(count == 1, labels == -1)
    return partner, ops.logical_and(count == 2, rank == 1), alone


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


def _counted(pairs):
    return ops.sum(ops.cast(pairs, "int32"), axis=1)
