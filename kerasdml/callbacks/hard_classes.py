"""Batches of the classes that the embedder confuses at the moment."""

from kerasdml.callbacks.before_epochs import BeforeEpochs
from kerasdml.models.embedding import embed


class HardClasses(BeforeEpochs):
    """Embeds the training set before epochs, for batches of classes that are close.

    Embeddings are taken as they come, unless the embedder normalises them, and
    compared by inner products.

    Args:
        batches: What `data.hard_class_batches` returns, and `data.images` is given.
        data: `(images, labels)` arrays, or batches `(images, labels)`, as
            `callbacks.Retrieval` takes them: the training set without augmentation, or
            a few examples of each of its classes.
        every_n_epochs: Embeds before every so many epochs, and before the first. At
            least 1.
        batch_size: Images per batch when `data` are arrays.
        steps: Batches to take, when `data` has no end.
        verbose: 0 is silent, 1 shows a progress bar of embedding.

    Raises:
        ValueError: If `every_n_epochs` is below 1; and before an epoch, if the classes
            of `data` are not those of `batches`.

    Example:

    >>> whole = kerasdml.data.images(paths, labels, size=224)
    >>> hard = kerasdml.callbacks.HardClasses(batches, whole)
    >>> model.fit(train, epochs=20, callbacks=[hard])
    """

    def __init__(
        self, batches, data, every_n_epochs=1, batch_size=32, steps=None, verbose=0
    ):
        super().__init__(every_n_epochs)
        self.batches = batches
        self.data = data
        self.batch_size = batch_size
        self.steps = steps
        self.verbose = verbose

    def prepare(self, epoch):
        self.batches.learn(
            *embed(self.model, self.data, self.batch_size, self.steps, self.verbose)
        )
