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
