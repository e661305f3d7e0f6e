"""Triplets harder than those that a batch has."""

from keras import ops

from kerasdml.ops.distances import safe_sqrt


def row_distances(x, y):
    """Returns `(q,)` Euclidean distances of the rows of `x` and `y`, both `(q, d)`.

    Between equal rows the gradient is 0.
    """
    return safe_sqrt(row_squares(x, y), scale=0.0)


def row_squares(x, y):
    """Returns `(q,)` squared distances of the rows of `x` and `y`, both `(q, d)`."""
    return ops.sum((x - y) ** 2, axis=1)


def stretched_pairs(anchors, positives, reach, rho, limit=None):
    """Pulls the two of each pair apart on their line, towards the distance `reach`.

    A pair at a distance d below `reach` goes to `rho * d + (1 - rho) * reach`, and
    keeps its middle; one that is as far apart already stays, as do two equal points,
    between which there is no direction.

    Args:
        anchors: `(q, d)`.
        positives: `(q, d)`.
        reach: `(q,)` distances, such as those of the anchors' negatives.
        rho: How much of the old distance remains, 0 … 1.
        limit: How many times the old distance the new one may be at most, at least 1;
            `None` for as far as it goes.

    Returns:
        `anchors, positives, distances`, the last `(q,)`.
    """
    distances = row_distances(anchors, positives)
    target = rho * distances + (1.0 - rho) * reach
    if limit is not None:
        target = ops.minimum(target, limit * distances)
    apart = distances > 0.0
    short = ops.logical_and(apart, distances < reach)
    target = ops.where(short, target, distances)
    times = target / ops.where(apart, distances, 1.0)
    middle = (anchors + positives) / 2.0
    half = times[:, None] * (positives - anchors) / 2.0
    return middle - half, middle + half, target


def reverse_triplet_hinge(anchors, positives, negatives, slack):
    """Returns `(q,)` by how much negatives are farther than positives and `slack`.

    Distances are squared ones. It is a triplet loss turned round: 0 where the negative
    is the closer one.

    Args:
        anchors: `(q, d)`.
        positives: `(q, d)`.
        negatives: `(q, d)`.
        slack: `(q,)`, or one number, at least 0.
    """
    excess = row_squares(anchors, negatives) - row_squares(anchors, positives)
    return ops.relu(excess - slack)
