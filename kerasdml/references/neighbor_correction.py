"""Variances of small classes, corrected by those of classes that are near."""

import keras
import numpy as np

from kerasdml.config import Configured
from kerasdml.references.counts import check_count

ROWS = 512  # of all classes' distances at once


@keras.saving.register_keras_serializable(package="kerasdml.references")
class NeighborCorrection(Configured):
    """Blends the variances of small classes with those of their neighbours and of all.

    Few embeddings tell little of how a class varies, but classes that are near vary
    alike. With n embeddings of a class, mean m and variances v, by channel, and the
    distances `Dm = |m_i^2 - m_k^2|` and `Dv = |v_i - v_k|`, it becomes

        (1 - a) v + a ((1 - global_share) neighbours + global_share everywhere)
        a = 1 / (1 + log(1 + distrust * (n - 1))), or 0 above `small_class`

    where `everywhere` is the mean of all classes' variances, weighed by their n; and
    `neighbours` that of the `neighbors` classes of least Dm, weighed by
    `n exp(-Dm^2 / (2 mean_width^2) - Dv^2 / (2 variance_width^2))`. Classes of one
    embedding have no variance to lend.

    Args:
        neighbors: Classes to blend with, at least 1; all others, where there are fewer.
            Paper: 25.
        distrust: How fast a class is trusted with more embeddings, at least 0: beta.
            Paper: 0.1.
        global_share: Share of the mean of all classes, 0 … 1: gamma. Paper: 0.1.
        small_class: Largest size of a class that is corrected: tau. Paper: 40.
        mean_width: Of the kernel of Dm, > 0. Paper: 1.
        variance_width: Of the kernel of Dv, > 0. Paper: 1.
        distances: "scaled", to 0 … 1 over the other classes, or "raw". Paper: raw; the
            authors' code: scaled.

    Raises:
        ValueError: If an argument is outside its range.

    Example:

    >>> correction = kerasdml.references.NeighborCorrection(neighbors=10)
    >>> source = kerasdml.references.IntraClassAugmentation(
    ...     num_classes=100, correction=correction
    ... )

    Source: see `IntraClassAugmentation`. The released code computes this and never uses
    it; and it scales distances with a distance of 1e12 among them, which stands for
    classes without variance, so that all neighbours are equally near.
    """

    def __init__(
        self,
        *,
        neighbors=25,
        distrust=0.1,
        global_share=0.1,
        small_class=40,
        mean_width=1.0,
        variance_width=1.0,
        distances="scaled",
    ):
        self.neighbors = check_count("neighbors", neighbors, 1)
        self.small_class = check_count("small_class", small_class, 1)
        if distrust < 0 or not 0 <= global_share <= 1:
            raise ValueError(
                "`distrust` must be at least 0 and `global_share` in [0, 1]. "
                f"Received: distrust={distrust}, global_share={global_share}."
            )
        if mean_width <= 0 or variance_width <= 0:
            raise ValueError(
                "`mean_width` and `variance_width` must be positive. Received: "
                f"mean_width={mean_width}, variance_width={variance_width}."
            )
        if distances not in ("scaled", "raw"):
            raise ValueError(
                "`distances` must be 'scaled' or 'raw'. "
                f"Received: distances={distances!r}."
            )
        self.distrust = distrust
        self.global_share = global_share
        self.mean_width = mean_width
        self.variance_width = variance_width
        self.distances = distances

    def __call__(self, means, variances, sizes):
        """Returns the corrected variances.

        Args:
            means: `(c, d)`, of each class.
            variances: `(c, d)`.
            sizes: `(c,)` embeddings of each class, 0 or more; 2 or more of some class.

        Returns:
            `(c, d)` float64; those of classes without an embedding as they were.
        """
        means, variances = (np.asarray(x, "float64") for x in (means, variances))
        varied = np.flatnonzero(sizes >= 2)
        everywhere = np.average(variances[varied], axis=0, weights=sizes[varied])
        corrected = variances.copy()
        small = np.flatnonzero((sizes > 0) & (sizes <= self.small_class))
        for start in range(0, len(small), ROWS):
            rows = small[start : start + ROWS]
            near = self._near(rows, varied, means, variances, sizes, everywhere)
            share = self.global_share
            blend = (1 - share) * near + share * everywhere
            trust = self.distrust * (sizes[rows] - 1)
            doubt = (1 / (1 + np.log1p(trust)))[:, None]
            corrected[rows] = (1 - doubt) * variances[rows] + doubt * blend
        return corrected

    def _near(self, rows, varied, means, variances, sizes, everywhere):
        """Returns `(n, d)` the weighed variances of the neighbours of n `rows`."""
        others = rows[:, None] != varied
        count = min(self.neighbors, len(varied) - 1)
        if count == 0:  # the only class with a variance has nobody but all of itself
            return np.broadcast_to(everywhere, (len(rows), len(everywhere)))
        squares = means**2
        of_means = self._distances(squares[rows], squares[varied], others)
        of_variances = self._distances(variances[rows], variances[varied], others)
        nearest = np.argpartition(of_means, count - 1, axis=1)[:, :count]
        of_means, of_variances = (
            np.take_along_axis(x, nearest, axis=1) for x in (of_means, of_variances)
        )
        exponents = (of_means / self.mean_width) ** 2
        exponents += (of_variances / self.variance_width) ** 2
        # Only their ratios count: all of them may be too small for a number.
        exponents -= exponents.min(axis=1, keepdims=True)
        chosen = varied[nearest]
        weights = sizes[chosen] * np.exp(-exponents / 2)
        weights /= weights.sum(axis=1, keepdims=True)
        # One matrix product, of weights that are 0 but for the neighbours.
        spread = np.zeros(others.shape)
        np.put_along_axis(spread, nearest, weights, axis=1)
        return spread @ variances[varied]

    def _distances(self, x, y, others):
        """Returns `(n, m)` distances, scaled if so; infinite to what is no other."""
        squared = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
        found = np.sqrt(np.maximum(squared, 0))
        if self.distances == "scaled":
            least = np.where(others, found, np.inf).min(axis=1, keepdims=True)
            most = np.where(others, found, -np.inf).max(axis=1, keepdims=True)
            width = np.where(most > least, most - least, 1.0)
            found = (found - least) / width
        return np.where(others, found, np.inf)
