import itertools

import keras
import numpy as np
import pytest

from kerasdml import MetricModel, losses
from kerasdml.models import imprint

RNG = np.random.default_rng(0)
CENTERS = 3 * RNG.normal(size=(5, 6))
LABELS = np.tile(np.arange(5), 8)
X = (CENTERS[LABELS] + RNG.normal(size=(40, 6))).astype("float32")
BASE = LABELS < 3


def trained(loss):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(4), keras.layers.Dropout(0.5)]
    embedder = keras.Sequential([keras.Input((6,)), *layers])
    model = MetricModel(embedder, ks=[1])
    model.compile(keras.optimizers.Adam(0.05), loss=loss)
    model.fit(X[BASE], LABELS[BASE], epochs=3, verbose=0)
    return model


def proxies(model):
    return keras.ops.convert_to_numpy(model.loss.proxies.points)


def nearest(model):
    z, w = model.embedder.predict(X, verbose=0), proxies(model)
    return np.argmax(z @ (w / np.linalg.norm(w, axis=1, keepdims=True)).T, axis=1)


def test_new_classes_are_known_at_once_and_trained_on():
    model = trained(losses.NormalizedSoftmax(num_classes=3, temperature=0.1))
    before = proxies(model)
    examples = ~BASE & (np.arange(40) < 20)
    imprint(model, (X[examples], LABELS[examples]))
    np.testing.assert_array_equal(proxies(model)[:3], before)
    # Of embeddings in inference mode, without dropout.
    z = model.embedder.predict(X[examples], verbose=0)
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    expected = [z[LABELS[examples] == c].sum(0) for c in (3, 4)]
    np.testing.assert_allclose(proxies(model)[3:], expected, rtol=1e-4)
    unseen = ~BASE & ~examples
    assert (nearest(model) == LABELS)[unseen].mean() > 0.7
    assert (model.loss.num_classes, model.loss.temperature) == (5, 0.1)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)
    model.fit(X, LABELS, epochs=1, verbose=0)
    assert (proxies(model)[3:] != expected).any()


def test_state_beside_the_proxies_is_kept_and_all_of_it_saved(tmp_path):
    hybrid = losses.AdaFace(num_classes=3, rate=0.1) + 0.5 * losses.MultiSimilarity()
    model = trained(hybrid)
    mean = float(model.loss.losses[0].mean.value)
    imprint(model, (X[~BASE], LABELS[~BASE]))
    adaptive = model.loss.losses[0]
    assert float(adaptive.mean.value) == mean != 20.0
    assert model.loss.weights == [1.0, 0.5]
    assert adaptive.proxies.points.path.startswith(f"{adaptive.name}/")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for x, y in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(x, y)


def test_further_examples_go_to_the_classes_there_are():
    model = trained(losses.NormalizedSoftmax(num_classes=3))
    first, rest = ~BASE & (np.arange(40) < 20), ~BASE & (np.arange(40) >= 20)
    imprint(model, (X[first], LABELS[first]))
    loss, optimizer = model.loss, model.optimizer
    imprint(model, (X[rest], LABELS[rest]), mode="accumulate")
    assert model.loss is loss and model.optimizer is optimizer
    step_by_step = proxies(model)
    imprint(model, (X[~BASE], LABELS[~BASE]), mode="overwrite")
    np.testing.assert_allclose(proxies(model), step_by_step, rtol=1e-4)


def test_varied_copies_of_the_examples_all_count():
    model = trained(losses.NormalizedSoftmax(num_classes=3))
    x, y = X[~BASE][:4], LABELS[~BASE][:4]
    varied = [x + 0.1 * RNG.normal(size=x.shape).astype("float32") for _ in range(3)]
    z = model.embedder.predict(np.concatenate(varied), verbose=0)
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    endless = ((varied[i % 3], y) for i in itertools.count())
    imprint(model, endless, steps=3)
    expected = [z[np.tile(y, 3) == c].sum(0) for c in (3, 4)]
    np.testing.assert_allclose(proxies(model)[3:], expected, rtol=1e-4)


@pytest.mark.parametrize(
    "loss, name",
    [
        (losses.MultiSimilarity(), "MultiSimilarity"),
        (losses.SubCenterArcFace(num_classes=3), "SubCenterArcFace"),
        (losses.ProxyNCA(num_classes=3, assignment=[0, 1, 1]), "ProxyNCA"),
        (losses.ArcFace(num_classes=3) + losses.Center(num_classes=3), "Center"),
    ],
    ids=lambda x: getattr(x, "name", x),
)
def test_rejects_a_loss_without_a_proxy_for_each_class(loss, name):
    embedder = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
    model = MetricModel(embedder)
    model.compile("adam", loss=loss)
    with pytest.raises(ValueError, match=f"nothing of each class. Received: {name}"):
        imprint(model, (X, LABELS))
