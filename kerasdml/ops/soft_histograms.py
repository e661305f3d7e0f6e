"""Histograms that have a gradient."""

from keras import ops


def soft_histograms(positions, positives, negatives, bins):
    """Counts each anchor's positives and negatives by where they lie, softly.

    What lies between two nodes counts at both, by how near it is to either.

    Args:
        positions: `(q, r)` in 0 … `bins`, in units of the distance between nodes.
        positives: `(q, r)` booleans.
        negatives: `(q, r)` booleans, disjoint from `positives`.
        bins: The number of bins, one less than that of nodes.

    Returns:
        `(q, 2, bins + 1)` counts at the nodes, of positives and of negatives.
    """

    # All tensors are arguments: JAX cannot differentiate what a function closes over.
    @ops.custom_gradient
    def histograms(positions, positives, negatives):
        q = ops.shape(positions)[0]
        cells = ops.clip(ops.cast(positions, "int32"), 0, bins - 1)
        kinds = ops.cast(negatives, "int32")
        kinds = kinds + 2 * ops.arange(q, dtype="int32")[:, None]
        pairs = ops.logical_or(positives, negatives)

        def gradient(*slopes):
            # Whatever moves on by 1 moves its count from its lower node to its upper.
            steps = slopes[0][:, :, 1:] - slopes[0][:, :, :-1]
            slope = ops.take(ops.reshape(steps, (-1,)), cells + bins * kinds)
            return ops.where(pairs, slope, 0.0), None, None

        nodes = bins + 1
        places = ops.reshape(cells + nodes * kinds, (-1,))
        upper = ops.where(pairs, positions - ops.cast(cells, positions.dtype), 0.0)
        lower = ops.where(pairs, 1.0 - upper, 0.0)
        counts = [
            ops.segment_sum(
                ops.reshape(x, (-1,)), places + i, num_segments=2 * nodes * q
            )
            for i, x in enumerate((lower, upper))
        ]
        return ops.reshape(counts[0] + counts[1], (q, 2, nodes)), gradient

    return histograms(positions, positives, negatives)
