"""What gives examples new labels while an embedder trains."""

import abc
import pathlib

import numpy as np

from kerasdml.callbacks.before_epochs import BeforeEpochs


class Relabelling(BeforeEpochs, abc.ABC):
    """Base of callbacks that embed the training set and hand labels to its batches.

    Args:
        batches: What `data.cluster_batches` returns.
        data: The pictures of the training set in its order, without augmentation: an
            array, or batches of them.
        every_n_epochs: Labels before every so many epochs, and before the first. At
            least 1.
        batch_size: Pictures per batch when `data` is an array.
        verbose: 0 is silent, 1 shows a progress bar of embedding.
        path: File, `.npz`, in which the labels of the moment are kept, so that training
            that goes on in the midst of a period does so with them; `None` for none.

    Raises:
        ValueError: If `every_n_epochs` is below 1, or `data` has another number of
            pictures than `batches`: at once for an array, else before an epoch.
    """

    def __init__(self, batches, data, every_n_epochs, batch_size, verbose, path):
        super().__init__(every_n_epochs)
        if isinstance(data, np.ndarray):
            _check_size(data, batches)
        self.batches = batches
        self.data = data
        self.batch_size = batch_size
        self.verbose = verbose
        self.path = path and pathlib.Path(path).with_suffix(".npz")

    @abc.abstractmethod
    def labels_for(self, epoch):
        """Returns `(n,)` labels for the epochs from `epoch` on."""

    def prepare(self, epoch):
        if self._first and epoch > 0 and self._restored(epoch):
            return
        self.batches.relabel(self.labels_for(epoch))
        if self.path:
            np.savez(self.path, epoch=epoch, labels=self.batches.labels)

    def embeddings(self):
        """Returns `(n, d)` embeddings of the training set, float32."""
        size = self.batch_size if isinstance(self.data, np.ndarray) else None
        found = self.model.predict(self.data, size, verbose=self.verbose)
        _check_size(found, self.batches)
        return np.asarray(found, "float32")

    def _restored(self, epoch):
        """Takes the labels kept before `epoch`; returns whether they are still its own.

        Labels of a period that is over are what the next ones may be compared with.
        """
        if not self.path or not self.path.exists():
            return False
        with np.load(self.path) as kept:
            since, labels = int(kept["epoch"]), kept["labels"]
        if since > epoch:
            return False
        self.batches.relabel(labels)
        return since >= epoch - epoch % self.every_n_epochs


def _check_size(pictures, batches):
    if len(pictures) != batches.size:
        raise ValueError(
            f"`data` must have a picture for each of the {batches.size} examples. "
            f"Received: {len(pictures)}."
        )
