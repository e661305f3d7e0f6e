"""Classes that divide into sub-classes while an embedder trains."""

import numbers

import numpy as np

from kerasdml.callbacks.checks import check_at_least_one
from kerasdml.callbacks.relabelling import Relabelling
from kerasdml.metrics import gaussian_mixture
from kerasdml.metrics.checks import check_labels


class SubclassMitosis(Relabelling):
    """Divides every class into the Gaussians that its embeddings fall into.

    For the first `every_n_epochs` epochs the labels are the classes. Then, before every
    so many epochs, the training set is embedded, a mixture of Gaussians is fitted to
    each class apart (`metrics.gaussian_mixture`), and the component of each example is
    its label for the epochs that follow: `batches.relabel` gets it, so that batches are
    balanced by sub-classes. It is always the class that is divided, not its former
    parts, so that sub-classes are found anew each time. Sub-classes are numbered 0 …
    k - 1 through all classes, and none is empty.

    Numbers of sub-classes mean nothing from one period to the next, so train with a
    loss that compares the examples of a batch, such as `losses.StructuredGaussian`.

    What there is follows from the weights and the epoch, so training that goes on from
    a checkpoint at the beginning of a period has the sub-classes it would have had.
    `path` keeps them for one that goes on within a period.

    Args:
        batches: What `data.cluster_batches` returns, and `data.images` is given, with
            as many `clusters` as there are classes and no fewer than in a batch.
        data: The pictures of the training set in its order, without augmentation: an
            array, or batches of them such as `data.images(paths, size=…)` without
            `batches`. Labels beside them are not looked at.
        labels: `(n,)` integers, the class of each.
        every_n_epochs: Epochs between two divisions, at least 1. Authors' code: 20, of
            which it trains 20 such periods.
        components: Into how many a class divides, where it has the examples:
            "schedule", `start` in the first division and one more in each that follows,
            up to `most`, as in the authors' code; "bic", as many as have the lowest
            Bayesian information criterion, up to `most`; or a number of at least 1.
        start: As above, from 1 to `most`. Authors' code: 2.
        most: As above. Authors' code: 4.
        min_class_size: A class of fewer examples stays whole. Authors' code: 100.
        min_per_component: A class divides into no more than has so many examples each
            on average, at least 1. Authors' code: 10.
        covariance: Of the mixtures, "full" (authors' code) or "diagonal", for classes
            of not many times more examples than an embedding has dimensions.
        seed: Non-negative integer, of the mixtures; the number of the epoch is added.
        batch_size: Pictures per batch when `data` is an array.
        verbose: 0 is silent, 1 shows a progress bar of embedding.
        path: File, `.npz`, in which the labels of the moment are kept, as above; `None`
            for none.

    Attributes:
        parents: `(k,)` the class of each sub-class of the moment, whose labels are
            `batches.labels`.

    Raises:
        ValueError: If a number is out of its range, `components` none of the above, or
            there are other numbers of labels or pictures than of examples in `batches`,
            which of batches of pictures is known only once they are embedded.

    Example:

    >>> batches = kerasdml.data.cluster_batches(len(paths), clusters=7, classes=7)
    >>> train = kerasdml.data.images(paths, size=48, augment=True, batches=batches)
    >>> whole = kerasdml.data.images(paths, size=48)
    >>> mitosis = kerasdml.callbacks.SubclassMitosis(batches, whole, labels)
    >>> model.compile("adam", loss=kerasdml.losses.StructuredGaussian())
    >>> model.fit(train, epochs=400, callbacks=[mitosis])

    Source: a reconstruction from code that the authors of a paper on Gaussian
    sub-spaces of facial expressions (Marrero Fernández et al.) published for a sibling
    paper (github.com/pedrodiamel/ferattention). Whether the paper chooses the number of
    components by a criterion is not known: "bic" is of ours. In that code a class that
    is too small leaves a sub-class without examples.
    """

    def __init__(
        self,
        batches,
        data,
        labels,
        every_n_epochs=20,
        components="schedule",
        start=2,
        most=4,
        min_class_size=100,
        min_per_component=10,
        covariance="full",
        seed=0,
        batch_size=32,
        verbose=0,
        path=None,
    ):
        super().__init__(batches, data, every_n_epochs, batch_size, verbose, path)
        check_at_least_one(start=start, min_per_component=min_per_component)
        if most < start:
            raise ValueError(
                "`most` must be at least `start`. "
                f"Received: start={start}, most={most}."
            )
        whole = isinstance(components, numbers.Integral) and components >= 1
        if not whole and components not in ("schedule", "bic"):
            raise ValueError(
                "`components` must be 'schedule', 'bic' or a number of at least 1. "
                f"Received: components={components!r}."
            )
        if covariance not in ("full", "diagonal"):
            raise ValueError(
                "`covariance` must be 'full' or 'diagonal'. "
                f"Received: covariance={covariance!r}."
            )
        self.labels = check_labels("labels", labels)
        if len(self.labels) != batches.size:
            raise ValueError(
                f"`labels` must have the class of each of the {batches.size} examples "
                f"of `batches`. Received: {len(self.labels)}."
            )
        self.components = components
        self.start = start
        self.most = most
        self.min_class_size = min_class_size
        self.min_per_component = min_per_component
        self.covariance = covariance
        self.seed = seed

    @property
    def parents(self):
        # A sub-class is of one class: that of any of its examples.
        return self.labels[np.unique(self.batches.labels, return_index=True)[1]]

    def labels_for(self, epoch):
        division = epoch // self.every_n_epochs
        if division == 0:
            return np.unique(self.labels, return_inverse=True)[1]
        embeddings = self.embeddings()
        found, count = np.empty(len(self.labels), np.int64), 0
        for parent in np.unique(self.labels):
            members = np.flatnonzero(self.labels == parent)
            parts = self._divided(embeddings[members], division, self.seed + epoch)
            names, numbers = np.unique(parts, return_inverse=True)
            found[members] = count + numbers
            count += len(names)
        return found

    def _divided(self, embeddings, division, seed):
        """Returns the component of each example of one class."""
        size = len(embeddings)
        limit = size // self.min_per_component if size >= self.min_class_size else 1
        if self.components == "bic":
            tried = range(1, min(limit, self.most) + 1)
        elif self.components == "schedule":
            tried = [min(limit, self.start + division - 1, self.most)]
        else:
            tried = [min(limit, self.components)]
        if max(tried, default=1) <= 1:
            return np.zeros(size, np.int64)
        found = [
            gaussian_mixture(embeddings, k, covariance=self.covariance, seed=seed)
            for k in tried
        ]
        return min(found, key=lambda mixture: mixture[1])[0]
