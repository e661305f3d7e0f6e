"""Batches of classes whose representatives are close at the moment."""

import numpy as np

from kerasdml.callbacks.before_epochs import BeforeEpochs
from kerasdml.optimizers import Proximal


class AlternatingProjection(BeforeEpochs):
    """Embeds the representatives before epochs, for batches of classes that are close.

    It embeds one example a class, where `callbacks.HardClasses` embeds them all.
    Embeddings are scaled to length 1.

    Args:
        batches: What `data.representative_batches(..., hard=...)` returns, and
            `data.images` is given.
        images: The training set without augmentation, in its order: an array `(n, …)`,
            or a function of positions `(c,)` that returns what `model.predict` takes,
            such as `lambda at: kerasdml.data.images(paths[at], size=224)`.
        every_n_epochs: Embeds before every so many epochs, and before the first. At
            least 1.
        batch_size: Images per batch when `images` is an array.
        verbose: 0 is silent, 1 shows a progress bar of embedding.

    Raises:
        ValueError: If `images` is None, `every_n_epochs` is below 1 or `batches` are
            not those above; when training begins, if the model is trained by
            `optimizers.Proximal` with another lifetime, or `images` is an array of
            another length.

    Example:

    >>> batches = kerasdml.data.representative_batches(labels, hard="nearest")
    >>> hard = kerasdml.callbacks.AlternatingProjection(batches, images)
    >>> model.fit(train, epochs=20, callbacks=[hard])

    Source: as of `optimizers.Proximal`. That representatives serve to mine hard classes
    is the paper's, how they do is assumed.
    """

    def __init__(self, batches, images, every_n_epochs=1, batch_size=32, verbose=0):
        super().__init__(every_n_epochs)
        if images is None:
            raise ValueError(
                "`images` must be those of the training set, an array or a function of "
                "positions in it. Received: None."
            )
        if getattr(batches, "hard", None) is None:
            raise ValueError(
                "`batches` must be of `data.representative_batches(..., hard=...)`, "
                f"which look at what is close. Received: {type(batches).__name__}."
            )
        self.batches = batches
        self.images = images
        self.batch_size = batch_size
        self.verbose = verbose

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        optimizer = self.model.optimizer
        lifetime = self.batches.lifetime
        if isinstance(optimizer, Proximal) and optimizer.lifetime != lifetime:
            raise ValueError(
                "The optimizer's `lifetime` must be that of the batches, "
                f"{lifetime} steps. Received: lifetime={optimizer.lifetime}."
            )
        if not callable(self.images) and len(self.images) != self.batches.size:
            raise ValueError(
                "`images` must be as many as the labels of `batches`, "
                f"{self.batches.size}. Received: {len(self.images)}."
            )

    def prepare(self, epoch):
        at = self.batches.representatives(epoch)
        chosen = self.images(at) if callable(self.images) else self.images[at]
        batch_size = None if callable(self.images) else self.batch_size
        embeddings = self.model.predict(chosen, batch_size, verbose=self.verbose)
        lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
        embeddings = embeddings / np.where(lengths > 0, lengths, 1.0)
        self.batches.learn(embeddings)
