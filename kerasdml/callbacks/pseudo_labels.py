"""Training on clusters instead of labels."""

import numpy as np

from kerasdml.callbacks.before_epochs import BeforeEpochs
from kerasdml.metrics import kmeans


class PseudoLabels(BeforeEpochs):
    """Clusters the training set before epochs and makes the clusters its labels.

    Embeddings are scaled to length 1 and clustered by k-means; the clusters go to
    `batches.relabel`, and the epoch that begins is planned and labelled by them. With a
    loss of pairs this trains an embedder without any labels, which its first epoch
    presupposes to be better than chance: begin from a pretrained one.

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

    Raises:
        ValueError: If `every_n_epochs` is below 1; and before an epoch, if `data` has
            another number of pictures than `batches`.

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
    ):
        super().__init__(every_n_epochs)
        self.batches = batches
        self.data = data
        self.labeller = labeller
        self.seed = seed
        self.batch_size = batch_size
        self.verbose = verbose

    def prepare(self, epoch):
        self.batches.relabel(self._labels(epoch))

    def _labels(self, epoch):
        arrays = isinstance(self.data, np.ndarray)
        embeddings = self.model.predict(
            self.data, self.batch_size if arrays else None, verbose=self.verbose
        )
        embeddings = np.asarray(embeddings, "float32")
        lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
        embeddings = embeddings / np.where(lengths > 0, lengths, 1.0)
        if self.labeller is not None:
            return self.labeller(embeddings)
        return kmeans(embeddings, self.batches.clusters, seed=self.seed + epoch)
