import keras
import numpy as np
import pytest

from kerasdml import data, optimizers
from kerasdml.callbacks import AlternatingProjection


def batches_of(labels, **arguments):
    arguments = {"classes": 2, "per_class": 2, "hard": "nearest", **arguments}
    return data.representative_batches(labels, **arguments)


def test_every_epoch_is_planned_by_its_representatives(images, plain_model):
    pictures, labels = images
    batches = batches_of(labels)
    learned, learn = [], batches.learn

    def remember(embeddings):
        learned.append(embeddings)
        learn(embeddings)

    batches.learn = remember
    train = data.images(pictures.astype("uint8"), labels, size=(8, 6), batches=batches)
    plain_model.fit(
        train,
        epochs=3,
        steps_per_epoch=train.steps_per_epoch,
        callbacks=[AlternatingProjection(batches, pictures)],
        verbose=0,
    )
    assert [x.shape for x in learned] == [(4, 4)] * 3
    np.testing.assert_allclose(np.linalg.norm(learned[2], axis=1), 1.0, rtol=1e-5)
    # A function of positions serves as well as an array.
    hard = AlternatingProjection(batches, lambda at: pictures[at])
    hard.set_model(plain_model)
    hard.prepare(3)
    expected = plain_model.predict(pictures[batches.representatives(3)], verbose=0)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(learned[3], expected, rtol=1e-5)


def test_what_it_needs_is_asked_for(images):
    pictures, labels = images
    with pytest.raises(ValueError, match="`images` must be those of the training set"):
        AlternatingProjection(batches_of(labels), None)
    for others in (batches_of(labels, hard=None), data.balanced_batches(labels, 2)):
        with pytest.raises(
            ValueError, match=r"representative_batches\(..., hard=...\)"
        ):
            AlternatingProjection(others, pictures)


def test_what_does_not_fit_is_refused_when_training_begins(images, plain_model):
    pictures, labels = images
    hard = AlternatingProjection(batches_of(labels, lifetime=5), pictures[:-1])
    with pytest.raises(ValueError, match="as many as .* 24. Received: 23"):
        plain_model.fit(*images, callbacks=[hard], verbose=0)
    optimizer = optimizers.Proximal(keras.optimizers.SGD(), lifetime=4)
    plain_model.compile(optimizer, loss=plain_model.loss)
    with pytest.raises(ValueError, match="5 steps. Received: lifetime=4"):
        plain_model.fit(*images, callbacks=[hard], verbose=0)
