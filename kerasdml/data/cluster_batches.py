"""Batches of clusters, for training without labels."""

import numpy as np

from kerasdml.data.labels import check_labels
from kerasdml.data.sampler import balanced_batches


def cluster_batches(
    size: int, clusters: int, classes: int = 32, per_class: int = 4, seed: int = 0
) -> "ClusterBatches":
    """Plans batches of `classes` clusters with `per_class` examples, and labels them.

    Which example is in which cluster changes while the embedder trains:
    `callbacks.PseudoLabels` clusters the training set once an epoch and calls
    `relabel`. Until then clusters are drawn at random. `data.images` takes the labels
    of these batches, in `labels`, from here.

    An epoch has as many batches as see every example once where clusters are of the
    same size; where they are not, some examples of large clusters wait for another.
    Numbers of clusters mean nothing from one epoch to the next, so train with a loss of
    pairs.

    Args:
        size: The number of examples, n.
        clusters: The number of clusters, from `classes` to `size`.
        classes: Different clusters in a batch, at least 1.
        per_class: Examples of each in a batch, at least 1.
        seed: Non-negative integer. The batches of an epoch follow from (seed, epoch)
            and the clusters of the moment.

    Returns:
        A `ClusterBatches`.

    Raises:
        ValueError: If a number is out of its range.

    Example:

    >>> batches = kerasdml.data.cluster_batches(len(paths), clusters=100)
    >>> train = kerasdml.data.images(paths, size=224, augment=True, batches=batches)
    >>> whole = kerasdml.data.images(paths, size=224)
    >>> pseudo = kerasdml.callbacks.PseudoLabels(batches, whole)
    >>> model.compile("adam", loss=kerasdml.losses.ContrastiveBayesian())
    >>> model.fit(train, epochs=20, callbacks=[pseudo])
    """
    if not 1 <= classes <= clusters <= size or per_class < 1 or seed < 0:
        raise ValueError(
            "`classes` must be at least 1, `clusters` from `classes` to `size`, "
            "`per_class` at least 1, `seed` at least 0. Received: "
            f"size={size}, clusters={clusters}, classes={classes}, "
            f"per_class={per_class}, seed={seed}."
        )
    return ClusterBatches(size, clusters, classes, per_class, seed)


class ClusterBatches:
    """The batches of an epoch, by its number and the clusters of the moment.

    Args:
        size: The number of examples, n.
        clusters: The number of clusters.
        classes: Different clusters in a batch.
        per_class: Examples of each in a batch.
        seed: Non-negative integer.

    Attributes:
        labels: `(n,)` int64, the cluster of each example at this moment.
        clusters: The number of clusters.
        size: The number of examples, n.
        steps: Batches in an epoch, the same in each.
        batch_size: Examples in a batch, `classes * per_class`.
    """

    # Tells `data.images` to ask for an epoch when it begins, and no earlier.
    changes = True

    def __init__(self, size, clusters, classes, per_class, seed):
        self.size = size
        self.clusters = clusters
        self.classes = classes
        self.per_class = per_class
        self.seed = seed
        self.batch_size = classes * per_class
        self.steps = -(-size // self.batch_size)
        self.relabel(np.random.default_rng(seed).permutation(size) % clusters)

    def relabel(self, labels):
        """Takes `labels (n,)`, the clusters for the epochs to come.

        Raises:
            ValueError: If they are no `(n,)` integers, or of fewer different clusters
                than a batch has.
        """
        labels = check_labels(labels).astype(np.int64)
        if len(labels) != self.size:
            raise ValueError(
                f"`labels` must have one cluster for each of the {self.size} examples. "
                f"Received: {len(labels)}."
            )
        self._batches = balanced_batches(
            labels, self.classes, self.per_class, self.seed
        )
        self.labels = labels

    def __call__(self, epoch: int) -> np.ndarray:
        """Returns the batches of an epoch.

        Args:
            epoch: Number of the epoch, at least 0.

        Returns:
            `(steps, classes * per_class)` int64 positions in `labels`; the `per_class`
            examples of one cluster lie side by side.
        """
        # There are at least `steps`, and more where clusters differ in size.
        return self._batches(epoch)[: self.steps]
