import keras
import numpy as np
import pytest

from kerasdml import data
from kerasdml.callbacks import HardClasses


class Noted(keras.callbacks.Callback):
    """Calls a function before every epoch."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def on_epoch_begin(self, epoch, logs=None):
        self.function(epoch)


def test_every_epoch_is_planned_by_the_embeddings_before_it(images, plain_model):
    pictures, labels = images
    batches = data.hard_class_batches(labels, classes=2, per_class=2)
    asked, learned = [], []
    plan, learn = batches._visited, batches.learn

    def visited(rng):
        asked.append(len(learned))
        return plan(rng)

    def remember(embeddings, labels):
        learned.append(embeddings)
        learn(embeddings, labels)

    batches._visited, batches.learn = visited, remember
    train = data.images(pictures.astype("uint8"), labels, size=(8, 6), batches=batches)
    hard = HardClasses(batches, images)
    plain_model.fit(
        train,
        epochs=3,
        steps_per_epoch=train.steps_per_epoch,
        callbacks=[hard],
        verbose=0,
    )
    assert asked[-3:] == [1, 2, 3], "each after one more embedding"
    assert not np.allclose(learned[0], learned[2]), "the model trains"
    np.testing.assert_allclose(
        learned[0].shape, plain_model.predict(pictures, verbose=0).shape
    )


def test_embeds_as_often_as_asked_and_before_the_first_epoch(images, plain_model):
    pictures, labels = images
    batches = data.hard_class_batches(labels, classes=2, per_class=2)
    epochs, learned = [], []
    batches.learn = lambda *_: learned.append(epochs[-1])
    hard = HardClasses(batches, images, every_n_epochs=3)
    noted = Noted(epochs.append)
    for initial in (0, 4):
        plain_model.fit(
            *images,
            initial_epoch=initial,
            epochs=7,
            callbacks=[noted, hard],
            verbose=0,
        )
    assert learned == [0, 3, 6, 4, 6]


def test_rejects_a_period_below_one(images):
    with pytest.raises(ValueError, match="`every_n_epochs` must be at least 1"):
        HardClasses(None, images, every_n_epochs=0)
