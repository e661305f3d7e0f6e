"""VICReg: variance, invariance, covariance."""

import keras
from keras import ops

from kerasdml.losses.base import MetricLoss
from kerasdml.ops import centered, paired_views


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class VICReg(MetricLoss):
    """Trains without class labels: two views of an image alike, and nothing collapses.

    The batch is read as pairs of views, the first and the second example with the same
    label, wherever they stand: `kerasdml.data.images(..., views=2)` makes such batches.
    For the n pairs (a, b), with C the covariances of the d coordinates over one view of
    the batch, in which n - 1 divides:

        loss = invariance_weight * mean of (a - b)^2, over pairs and coordinates
             + variance_weight / 2 * mean of max(0, spread - sqrt(C_ii + epsilon))
             + covariance_weight / d * sum over i != j of C_ij^2,

    the last two for either view. An example without a partner takes no part; a batch
    without pairs costs 0, and a lone pair has no spread that a gradient could widen.

    Args:
        invariance_weight: Weight of the first term, at least 0. Paper: 25.
        variance_weight: Weight of the second, at least 0. Authors' code: 25, halved as
            here (as in pytorch-metric-learning); the paper's formula does not halve it,
            which is 50 here.
        covariance_weight: Weight of the third, at least 0. Paper: 1.
        spread: Standard deviation that each coordinate is to have, in units of the
            embeddings, > 0. Paper: 1.
        epsilon: Variance under the root, > 0, which bounds its slope. Paper: 1e-4.
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If a weight is negative, or `spread` or `epsilon` not positive; when
            called with `sample_weight`, since variances are of the batch.

    Example:

    >>> embedder = kerasdml.models.Embedder("conv4", dim=128, normalize=False)
    >>> expander = [keras.layers.Dense(512, "relu"), keras.layers.Dense(512)]
    >>> model = kerasdml.MetricModel(keras.Sequential([embedder, *expander]))
    >>> model.compile("adam", loss=kerasdml.losses.VICReg())

    The embeddings must not be normalised: a unit vector has no room for a deviation of
    1 in each coordinate. What is trained is an expander on top of the embedder, in the
    paper three layers of 8192; it is thrown away, and `embedder` is what is kept.

    Source: Bardes et al., "VICReg: Variance-Invariance-Covariance Regularization for
    Self-Supervised Learning", ICLR 2022, https://arxiv.org/abs/2105.04906. The first
    term is a mean over the coordinates, as in the authors' code; the paper's formula
    has their sum, for which its weights would be out of proportion.
    """

    per_anchor = False

    def __init__(
        self,
        *,
        invariance_weight=25.0,
        variance_weight=25.0,
        covariance_weight=1.0,
        spread=1.0,
        epsilon=1e-4,
        **kwargs,
    ):
        super().__init__(**kwargs)
        weights = invariance_weight, variance_weight, covariance_weight
        if min(weights) < 0 or spread <= 0 or epsilon <= 0:
            raise ValueError(
                "Weights must not be negative, `spread` and `epsilon` positive. "
                f"Received: invariance_weight={invariance_weight}, "
                f"variance_weight={variance_weight}, "
                f"covariance_weight={covariance_weight}, spread={spread}, "
                f"epsilon={epsilon}."
            )
        self.invariance_weight = invariance_weight
        self.variance_weight = variance_weight
        self.covariance_weight = covariance_weight
        self.spread = spread
        self.epsilon = epsilon

    def costs(self, labels, embeddings):
        first, second, paired = paired_views(labels, embeddings)
        differences = ops.mean((first - second) ** 2, axis=1)
        costs = self.invariance_weight * differences
        costs += self._of_view(first, paired) + self._of_view(second, paired)
        # The costs of the pairs, as parts of a mean over all examples.
        paired = ops.cast(paired, costs.dtype)
        share = ops.mean(paired)
        return paired * costs / ops.where(share > 0.0, share, 1.0)

    def _of_view(self, view, paired):
        d = view.shape[1]
        count = ops.sum(ops.cast(paired, view.dtype))
        x = centered(view, paired)
        covariances = ops.matmul(ops.transpose(x), x) / ops.maximum(count - 1.0, 1.0)
        same = ops.eye(d, dtype="bool")
        variances = ops.sum(ops.where(same, covariances, 0.0), axis=0)
        deviations = ops.sqrt(variances + self.epsilon)
        others = ops.where(same, 0.0, covariances)
        return self.variance_weight / 2.0 * ops.mean(
            ops.relu(self.spread - deviations)
        ) + self.covariance_weight / d * ops.sum(others**2)
