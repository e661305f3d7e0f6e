import itertools

import keras
import numpy as np
import pytest

from kerasdml import MetricModel, data, losses
from kerasdml.callbacks import PseudoLabels
from kerasdml.callbacks.pseudo_labels import renumbered
from kerasdml.metrics import kmeans


@pytest.fixture
def clusters(images):
    pictures, _ = images
    batches = data.cluster_batches(len(pictures), clusters=4, classes=3, per_class=2)
    train = data.images(pictures.astype("uint8"), size=(8, 6), batches=batches)
    return batches, train


def test_every_epoch_has_the_labels_found_before_it(images, clusters, plain_model):
    pictures, _ = images
    batches, train = clusters
    calls, seen = [], []

    def labeller(embeddings):
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
        calls.append(embeddings)
        return 10 * len(calls) + np.arange(24) % 4

    class Noted(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.extend(labels.numpy() for _, labels in train)

    pseudo = PseudoLabels(batches, pictures, labeller=labeller)
    plain_model.fit(train, epochs=3, callbacks=[pseudo, Noted()], verbose=0)
    assert len(seen) == 3 * batches.steps == 12
    for step, labels in enumerate(seen):
        assert (labels // 10 == 1 + step // 4).all()
        assert len(set(labels)) == 3
    assert not np.allclose(calls[0], calls[2]), "the model trains"


def test_clusters_of_embeddings_are_the_labels(images, clusters, plain_model):
    pictures = images[0].astype("uint8")
    batches, train = clusters
    whole = data.images(pictures, size=(8, 6), batch_size=7)
    model = MetricModel(plain_model)
    still = keras.optimizers.SGD(0.0)
    model.compile(still, loss=losses.ContrastiveBayesian())
    pseudo = PseudoLabels(batches, whole, seed=3)
    model.fit(train, epochs=2, callbacks=[pseudo], verbose=0)
    embeddings = model.predict(pictures.astype("float32"), verbose=0)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    expected = kmeans(embeddings, 4, seed=3 + 1)
    np.testing.assert_array_equal(batches.labels, expected)


def test_clusters_keep_their_numbers_as_far_as_their_pictures():
    former = np.array([7, 7, 7, 2, 2, 2, 2, 5])
    labels = np.array([0, 0, 1, 1, 1, 1, 3, 3])
    # 1 shares three with 2, 0 two with 7, 3 one with 2 (taken) and one with 5.
    np.testing.assert_array_equal(renumbered(labels, former), [7, 7, 2, 2, 2, 2, 5, 5])
    # One more cluster than before takes a number that none has.
    labels = np.array([0, 0, 1, 1, 1, 1, 3, 4])
    expected = [7, 7, 2, 2, 2, 2, 0, 5]
    np.testing.assert_array_equal(renumbered(labels, former), expected)


def test_a_loss_with_proxies_trains_on_clusters_that_keep_their_numbers(images):
    pictures = images[0].astype("uint8")
    batches = data.cluster_batches(len(pictures), clusters=4, classes=3, per_class=2)
    train = data.images(pictures, size=(8, 6), batches=batches)
    keras.utils.set_random_seed(0)
    layers = [keras.Input((8, 6, 3)), keras.layers.Flatten(), keras.layers.Dense(4)]
    model = MetricModel(keras.Sequential([*layers]))
    rate = keras.optimizers.SGD(1e-6)
    model.compile(rate, loss=losses.ProxyAnchor(num_classes=4))
    seen = []

    class Noted(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(batches.labels)

    pseudo = PseudoLabels(batches, pictures, keep_numbers=True)
    model.fit(train, epochs=4, callbacks=[pseudo, Noted()], verbose=0)
    assert all(set(labels) == {0, 1, 2, 3} for labels in seen)
    for former, labels in itertools.pairwise(seen[1:]):
        assert (former == labels).mean() > 0.5


def test_training_that_goes_on_has_the_clusters_it_would_have_had(images, tmp_path):
    pictures = images[0].astype("uint8")
    arguments = {"every_n_epochs": 2, "keep_numbers": True, "path": tmp_path / "kept"}

    def trained(epochs, model=None, initial_epoch=0):
        batches = data.cluster_batches(24, clusters=4, classes=3, per_class=2)
        train = data.images(
            pictures, size=(8, 6), batches=batches, initial_epoch=initial_epoch
        )
        if model is None:
            keras.utils.set_random_seed(0)
            layers = [keras.layers.Flatten(), keras.layers.Dense(4)]
            model = MetricModel(keras.Sequential([keras.Input((8, 6, 3)), *layers]))
            loss = losses.ProxyAnchor(num_classes=4)
            model.compile(keras.optimizers.Adam(1e-3), loss=loss)
        pseudo = PseudoLabels(batches, pictures, **arguments)
        model.fit(
            train,
            epochs=epochs,
            initial_epoch=initial_epoch,
            callbacks=[pseudo],
            verbose=0,
        )
        return model, batches.labels

    whole, expected = trained(4)
    # In the midst of the second period.
    model, _ = trained(3)
    model.save(tmp_path / "model.keras")
    model, found = trained(4, keras.saving.load_model(tmp_path / "model.keras"), 3)
    np.testing.assert_array_equal(found, expected)
    for a, b in zip(model.weights, whole.weights, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


def test_another_number_of_pictures_is_refused(images, clusters, plain_model):
    batches, train = clusters
    with pytest.raises(ValueError, match="each of the 24 examples. Received: 20"):
        PseudoLabels(batches, images[0][:20])
    some = data.images(images[0][:20].astype("uint8"), size=(8, 6))
    with pytest.raises(ValueError, match="each of the 24 examples. Received: 20"):
        pseudo = PseudoLabels(batches, some)
        plain_model.fit(train, callbacks=[pseudo], verbose=0)


def test_rejects_a_period_below_one(images):
    with pytest.raises(ValueError, match="`every_n_epochs` must be at least 1"):
        PseudoLabels(None, images[0], every_n_epochs=0)
