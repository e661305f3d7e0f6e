"""Training on clusters instead of labels."""

import numpy as np

from kerasdml.callbacks.relabelling import Relabelling
from kerasdml.metrics import kmeans


class PseudoLabels(Relabelling):
    """Clusters the training set before epochs and makes the clusters its labels.

    Embeddings are scaled to length 1 and clustered by k-means; the clusters go to
    `batches.relabel`, and the epoch that begins is planned and labelled by them. This
    trains an embedder without any labels, by any loss, which its first epoch
    presupposes to be better than chance: begin from a pretrained one.

    Clusters follow from the weights and the epoch, so training that goes on from a
    checkpoint at the beginning of a period has those it would have had. `path` keeps
    them for one that goes on within a period, and the numbers of `keep_numbers`.

    Args:
        batches: What `data.cluster_batches` returns, and `data.images` is given.
        data: The pictures of the training set in its order, without augmentation: an
            array, or batches of them such as `data.images(paths, size=…)` without
            `batches`. Labels beside them are not looked at.
        every_n_epochs: Clusters before every so many epochs, and before the first. At
            least 1.
        labeller: Function of `(n, d)` embeddings of length 1 that returns `(n,)`
            integer labels, in place of k-means into `batches.clusters`.
        seed: Non-negative integer, of k-means; the number of the epoch is added.
        batch_size: Pictures per batch when `data` is an array.
        verbose: 0 is silent, 1 shows a progress bar of embedding.
        keep_numbers: Whether a cluster takes the number of the former one with which it
            shares most pictures, as losses with proxies need. Losses of pairs do not
            look at numbers.
        path: File, `.npz`, in which the labels of the moment are kept, as above; `None`
            for none.

    Raises:
        ValueError: If `every_n_epochs` is below 1, or `data` has another number of
            pictures than `batches`: at once for an array, else before an epoch.

    Example:

    >>> pseudo = kerasdml.callbacks.PseudoLabels(batches, whole)
    >>> model.fit(train, epochs=20, callbacks=[pseudo])

    Source: a reconstruction of the pseudo-supervised setting of Kan et al.,
    "Contrastive Bayesian Analysis for Deep Metric Learning", TPAMI 2022,
    https://arxiv.org/abs/2210.04402, whose code for it was never released.
    """

    def __init__(
        self,
        batches,
        data,
        every_n_epochs=1,
        labeller=None,
        seed=0,
        batch_size=32,
        verbose=0,
        keep_numbers=False,
        path=None,
    ):
        super().__init__(batches, data, every_n_epochs, batch_size, verbose, path)
        self.labeller = labeller
        self.seed = seed
        self.keep_numbers = keep_numbers

    def labels_for(self, epoch):
        embeddings = self.embeddings()
        lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
        embeddings = embeddings / np.where(lengths > 0, lengths, 1.0)
        if self.labeller is not None:
            labels = np.asarray(self.labeller(embeddings))
        else:
            clusters = self.batches.clusters
            labels = kmeans(embeddings, clusters, seed=self.seed + epoch)
        if self.keep_numbers and len(labels) == len(self.batches.labels):
            labels = renumbered(labels, self.batches.labels)
        return labels


def renumbered(labels, former):
    """Gives clusters the numbers of former ones, those that share most examples first.

    A cluster for which none is left takes the lowest free number.

    Args:
        labels: `(n,)` integers.
        former: `(n,)` integers.

    Returns:
        `(n,)` integers that group the examples as `labels` do.
    """
    pairs, counts = np.unique(
        np.stack([labels, former], axis=1), axis=0, return_counts=True
    )
    number, taken = {}, set()
    for cluster, old in pairs[np.argsort(-counts, kind="stable")].tolist():
        if cluster not in number and old not in taken:
            number[cluster] = old
            taken.add(old)
    clusters, inverse = np.unique(labels, return_inverse=True)
    free = (i for i in range(len(taken) + len(clusters)) if i not in taken)
    numbers = [number[c] if c in number else next(free) for c in clusters.tolist()]
    return np.asarray(numbers)[inverse]
