"""Histograms that have a gradient."""

from keras import ops


def soft_histograms(positions, positives, negatives, bins):
    """Counts each anchor's positives and negatives by where they lie, softly.

    What lies between two nodes counts at both, by how near it is to either.

    Args:
        positions: `(q, r)` in 0 … `bins`, in units of the distance between nodes;
            what rounding puts beyond an end counts there.
        positives: `(q, r)` booleans.
        negatives: `(q, r)` booleans, disjoint from `positives`.
        bins: The number of bins, one less than that of nodes.

    Returns:
        `(q, 2, bins + 1)` counts at the nodes, of positives and of negatives.
    """

    # All tensors are arguments: JAX cannot differentiate what a function closes over.
    @ops.custom_gradient
    def histograms(positions, positives, negatives):
        def gradient(*slopes):
            # Whatever moves on by 1 moves its count from its lower node to its upper.
            steps = slopes[0][:, :, 1:] - slopes[0][:, :, :-1]
            places = _places(_cells(positions, bins), negatives, bins)
            slope = ops.take(ops.reshape(steps, (-1,)), places)
            pairs = ops.logical_or(positives, negatives)
            return ops.where(pairs, slope, 0.0), None, None

        q, nodes = ops.shape(positions)[0], bins + 1
        cells = _cells(positions, bins)
        pairs = ops.logical_or(positives, negatives)
        upper = ops.where(pairs, ops.clip(positions - cells, 0.0, 1.0), 0.0)
        lower = ops.where(pairs, 1.0 - upper, 0.0)
        places = ops.reshape(_places(cells, negatives, nodes), (-1,))
        counts = [
            ops.segment_sum(
                ops.reshape(x, (-1,)), places + i, num_segments=2 * nodes * q
            )
            for i, x in enumerate((lower, upper))
        ]
        return ops.reshape(counts[0] + counts[1], (q, 2, nodes)), gradient

    return histograms(positions, positives, negatives)


def _cells(positions, bins):
    """Returns the node below each position, of those that have a next."""
    return ops.clip(ops.floor(positions), 0, bins - 1)


def _places(columns, negatives, size):
    """Returns where `columns` of `(q, 2, size)` are, once flattened."""
    rows = 2 * size * ops.arange(ops.shape(columns)[0], dtype="int32")[:, None]
    kinds = ops.where(negatives, rows + size, rows)
    return kinds + ops.cast(columns, "int32")
