"""How classes vary, learnt from the whole training set."""

import keras
import numpy as np

from kerasdml.callbacks.checks import check_at_least_one
from kerasdml.models.embedding import embed


class IntraClassStatistics(keras.callbacks.Callback):
    """Lets `references.IntraClassAugmentation` learn before epochs, and fades it out.

    The training set is embedded and handed to `source.update`. Until the first time the
    loss is the plain one. The statistics are saved with the model, and the epochs at
    which they are learnt are counted from the first, so that a training that goes on
    after loading is the one that would not have stopped.

    Args:
        source: The `references.IntraClassAugmentation` of the loss; that of a loaded
            model is in `model.loss.references`.
        data: The training set: `(images, labels)` arrays, or batches of them. The
            authors embed it with the augmentation of training, in inference mode, as
            here: `data.images(..., augment=True)` does.
        start_epoch: Epoch, from 0, before which it is first learnt. The authors' code:
            30.
        every_n_epochs: Learnt again before every so many epochs, at least 1. Paper: 4;
            the authors' code: 2.
        schedule: "steps", as in the authors' code: the strength is multiplied by 1, by
            0.9 after 40 %, 0.75 after 60 % and 0.6 after 80 % of the epochs; a function
            from the share of epochs, 0 … 1, to such a factor; or `None`: always 1.
        steps: Batches to embed, which endless data needs.
        batch_size: Images a batch where `data` are arrays.
        verbose: 0 is silent, 1 shows a progress bar of embedding.

    Raises:
        ValueError: If there is no data, or an argument is out of its range; before
            training, if `source` is not in the model's loss, if arrays have labels that
            it cannot have, or if training ends before `start_epoch`.

    Example:

    >>> statistics = IntraClassStatistics(source, (images, labels), start_epoch=5)
    >>> model.fit(train, epochs=20, callbacks=[statistics])

    Source: see `references.IntraClassAugmentation`.
    """

    def __init__(
        self,
        source,
        data,
        start_epoch=30,
        every_n_epochs=4,
        schedule="steps",
        steps=None,
        batch_size=32,
        verbose=0,
    ):
        super().__init__()
        check_at_least_one(every_n_epochs=every_n_epochs)
        if data is None:
            raise ValueError(
                "IntraClassStatistics needs the training set, to learn how classes "
                "vary. Received: data=None."
            )
        if start_epoch < 0:
            raise ValueError(
                f"`start_epoch` must be at least 0. Received: {start_epoch}."
            )
        if schedule not in ("steps", None) and not callable(schedule):
            raise ValueError(
                "`schedule` must be 'steps', None or a function from 0 … 1 to a "
                f"factor. Received: schedule={schedule!r}."
            )
        self.source = source
        self.data = data
        self.start_epoch = start_epoch
        self.every_n_epochs = every_n_epochs
        self.schedule = fading if schedule == "steps" else schedule
        self.steps = steps
        self.batch_size = batch_size
        self.verbose = verbose

    def on_train_begin(self, logs=None):
        if not any(x is self.source for x in self.model.attached.items):
            raise ValueError(
                "`source` must be among the `references` of the loss that the model is "
                "compiled with; that of a loaded model is in `model.loss.references`."
            )
        if self.params["epochs"] <= self.start_epoch:
            raise ValueError(
                "Training ends before statistics are learnt: `start_epoch` must be "
                f"below the number of epochs. Received: start_epoch="
                f"{self.start_epoch} for {self.params['epochs']} epochs."
            )
        if isinstance(self.data, tuple):
            self.source.check_training_set(np.asarray(self.data[1]).reshape(-1))

    def on_epoch_begin(self, epoch, logs=None):
        since = epoch - self.start_epoch
        if self.schedule is not None:
            share = (epoch + 1) / self.params["epochs"]
            self.source.fade.assign(self.schedule(share))
        if since >= 0 and since % self.every_n_epochs == 0:
            found = embed(
                self.model, self.data, self.batch_size, self.steps, self.verbose
            )
            self.source.update(*found)


def fading(share):
    """Returns what the authors' code multiplies the strength by."""
    for until, factor in (0.4, 1.0), (0.6, 0.9), (0.8, 0.75):
        if share <= until:
            return factor
    return 0.6
