"""What is done before some of the epochs."""

import abc

import keras

from kerasdml.callbacks.checks import check_at_least_one


class BeforeEpochs(keras.callbacks.Callback, abc.ABC):
    """Base of callbacks that prepare the batches of the epochs that follow.

    Args:
        every_n_epochs: Prepares before every so many epochs, and before the first of
            any training. At least 1.

    Raises:
        ValueError: If `every_n_epochs` is below 1.
    """

    def __init__(self, every_n_epochs):
        super().__init__()
        check_at_least_one(every_n_epochs=every_n_epochs)
        self.every_n_epochs = every_n_epochs
        self._first = True

    def on_train_begin(self, logs=None):
        self._first = True

    def on_epoch_begin(self, epoch, logs=None):
        if self._first or epoch % self.every_n_epochs == 0:
            self.prepare(epoch)
        self._first = False

    @abc.abstractmethod
    def prepare(self, epoch):
        """Prepares what `epoch` begins with."""
