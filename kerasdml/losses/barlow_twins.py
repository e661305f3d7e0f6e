"""Barlow Twins: two views correlate coordinate by coordinate."""

import keras
from keras import ops

from kerasdml.losses.base import MetricLoss
from kerasdml.ops import centered, paired_views, safe_sqrt


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class BarlowTwins(MetricLoss):
    """Trains without class labels: each coordinate agrees between views, no two agree.

    The batch is read as pairs of views, the first and the second example with the same
    label, wherever they stand: `kerasdml.data.images(..., views=2)` makes such batches.
    With C_ij the correlation, over the pairs, of coordinate i of the first view with
    coordinate j of the second:

        loss = sum over i of (1 - C_ii)^2
             + redundancy_weight * sum over i != j of C_ij^2

    An example without a partner takes no part; a batch without pairs costs 0. A
    coordinate that does not vary has the correlation 0 with all others.

    Args:
        redundancy_weight: Weight of the second term, at least 0. Paper: 0.005; the
            authors' code: 0.0051.
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `redundancy_weight` is negative; when called with
            `sample_weight`, since correlations are of the batch.

    Example:

    >>> embedder = kerasdml.models.Embedder("conv4", dim=128, normalize=False)
    >>> projector = [keras.layers.Dense(512, "relu"), keras.layers.Dense(512)]
    >>> model = kerasdml.MetricModel(keras.Sequential([embedder, *projector]))
    >>> model.compile("adam", loss=kerasdml.losses.BarlowTwins())

    What is trained is a projector on top of the embedder, in the paper three layers of
    8192; it is thrown away, and `embedder` is what is kept. The loss is a sum over the
    coordinates, which the authors' code scales by 0.024: `0.024 * BarlowTwins()`.

    Source: Zbontar et al., "Barlow Twins: Self-Supervised Learning via Redundancy
    Reduction", ICML 2021, https://arxiv.org/abs/2103.03230. The authors' code adds 1e-5
    to the variances; this takes them as they are, so that lengths do not matter.
    """

    per_anchor = False

    def __init__(self, *, redundancy_weight=0.005, **kwargs):
        super().__init__(**kwargs)
        if redundancy_weight < 0:
            raise ValueError(
                "`redundancy_weight` must not be negative. "
                f"Received: redundancy_weight={redundancy_weight}."
            )
        self.redundancy_weight = redundancy_weight

    def costs(self, labels, embeddings):
        first, second, paired = paired_views(labels, embeddings)
        first, second = _standardized(first, paired), _standardized(second, paired)
        correlations = ops.matmul(ops.transpose(first), second)
        same = ops.eye(embeddings.shape[1], dtype="bool")
        alike = ops.where(same, 1.0 - correlations, 0.0)
        others = ops.where(same, 0.0, correlations)
        cost = ops.sum(alike**2) + self.redundancy_weight * ops.sum(others**2)
        cost = ops.where(ops.any(paired), cost, 0.0)
        return cost + ops.zeros_like(embeddings[:, 0])


def _standardized(view, paired):
    """Returns a view whose coordinates have, over its pairs, mean 0 and length 1."""
    x = centered(view, paired)
    lengths = safe_sqrt(ops.sum(x**2, axis=0), scale=ops.sum(view**2, axis=0))
    varies = lengths > 0.0
    return ops.where(varies, x / ops.where(varies, lengths, 1.0), 0.0)
