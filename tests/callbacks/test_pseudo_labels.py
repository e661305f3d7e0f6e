import keras
import numpy as np
import pytest

from kerasdml import MetricModel, data, losses
from kerasdml.callbacks import PseudoLabels
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


def test_another_number_of_pictures_is_refused(images, clusters, plain_model):
    batches, train = clusters
    pseudo = PseudoLabels(batches, images[0][:20])
    with pytest.raises(ValueError, match="each of the 24 examples. Received: 20"):
        plain_model.fit(train, callbacks=[pseudo], verbose=0)


def test_rejects_a_period_below_one(images):
    with pytest.raises(ValueError, match="`every_n_epochs` must be at least 1"):
        PseudoLabels(None, images[0], every_n_epochs=0)
