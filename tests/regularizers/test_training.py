import keras
import numpy as np
import pytest

from kerasdml import MetricModel, losses, regularizers

X = np.random.default_rng(0).normal(size=(24, 3)).astype("float32")
LABELS = np.repeat(np.arange(4), 6)


def compiled_model(loss, rate=0.0):
    embedder = keras.Sequential([keras.Input((3,)), keras.layers.Identity()])
    model = MetricModel(embedder)
    model.compile(keras.optimizers.SGD(rate), loss=loss)
    return model


@pytest.mark.parametrize("batch_size", [8, 24])
def test_the_penalty_is_in_the_loss_of_training_once_and_whole(batch_size):
    keras.utils.set_random_seed(0)
    regularizer = regularizers.CenterInvariant(weight=1e8)
    loss = losses.CosFace(num_classes=4, regularizer=regularizer)
    model = compiled_model(loss)
    expected = float(loss(LABELS, X)) + float(regularizer(loss.proxies.points))
    history = model.fit(X, LABELS, batch_size=batch_size, shuffle=False, verbose=0)
    np.testing.assert_allclose(history.history["loss"], [expected], rtol=1e-5)
    assert float(regularizer(loss.proxies.points)) > 1.0


def test_it_moves_the_proxies():
    loss = losses.SubCenterArcFace(
        num_classes=4, regularizer=regularizers.SparseCenters(per_class=3, weight=50.0)
    )
    model = compiled_model(loss, rate=1e-3)
    before = float(loss.regularizer(loss.proxies.points))
    model.fit(X, LABELS, epochs=3, verbose=0)
    assert float(loss.regularizer(loss.proxies.points)) < before


def test_a_keras_file_restores_it(tmp_path):
    loss = losses.ArcFace(num_classes=4, regularizer=regularizers.RegularFace(weight=3))
    model = compiled_model(loss)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.loss.regularizer.weight == 3
    np.testing.assert_allclose(again.losses, model.losses, rtol=1e-6)
    assert len(again.losses) == 1


def test_keras_own_do_too():
    loss = losses.NormalizedSoftmax(num_classes=4, regularizer="l2")
    model = compiled_model(loss)
    points = keras.ops.convert_to_numpy(loss.proxies.points)
    np.testing.assert_allclose(model.losses, [0.01 * np.sum(points**2)], rtol=1e-5)
