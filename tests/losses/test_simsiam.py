import keras
import numpy as np
import pytest

from kerasdml.losses import SimSiam
from tests.conftest import value_and_gradient

LABELS = np.tile(np.arange(6), 2)


def loss_and_views(**arguments):
    keras.utils.set_random_seed(0)
    loss = SimSiam(**arguments)
    loss.build(4)
    return loss, np.random.default_rng(0).normal(size=(12, 4)).astype("float32")


def cosine(a, b):
    a, b = np.asarray(a, float), np.asarray(b, float)
    return np.mean(
        np.sum(a * b, 1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    )


def test_predicts_each_view_from_the_other():
    loss, x = loss_and_views()
    predicted = keras.ops.convert_to_numpy(loss.predictor(x))
    expected = cosine(predicted[:6], x[6:]) + cosine(predicted[6:], x[:6])
    np.testing.assert_allclose(loss(LABELS, x), -expected / 2, rtol=1e-5)


def test_predicts_the_second_view_alone_if_asked():
    loss, x = loss_and_views(symmetric=False)
    predicted = keras.ops.convert_to_numpy(loss.predictor(x))
    expected = -cosine(predicted[:6], x[6:])
    np.testing.assert_allclose(loss(LABELS, x), expected, rtol=1e-5)


def test_what_is_predicted_is_a_constant():
    loss, x = loss_and_views(symmetric=False)
    _, gradient = value_and_gradient(lambda e: loss(LABELS, e), x)
    assert (gradient[6:] == 0).all() and (gradient[:6] != 0).any(axis=1).all()


def test_an_example_without_a_partner_takes_no_part():
    loss, x = loss_and_views()
    expected = loss(LABELS, x)
    more = np.concatenate([x, 7.0 * x[:3]])
    labels = np.array([*LABELS, 0, 8, -1])
    value, gradient = value_and_gradient(lambda e: loss(labels, e), more)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert (gradient[12:] == 0).all()


def test_a_batch_without_pairs_costs_nothing():
    loss, x = loss_and_views()
    assert loss(np.arange(12), x) == 0


def test_the_predictor_is_trained_with_the_model():
    from kerasdml import MetricModel

    embedder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model = MetricModel(embedder)
    model.compile(keras.optimizers.SGD(0.1), loss=SimSiam(hidden=3))
    weights = model.loss.predictor.get_weights()
    assert weights[0].shape == (4, 3)
    model.fit(loss_and_views()[1], LABELS, batch_size=12, verbose=0)
    trained = model.loss.predictor.get_weights()
    assert any((a != b).any() for a, b in zip(weights, trained, strict=True))


def test_rejects_a_hidden_size_that_is_none():
    with pytest.raises(ValueError, match="`hidden` must be an integer of at least 1"):
        SimSiam(hidden=0)
