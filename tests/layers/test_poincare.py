import keras
import numpy as np
import pytest
from keras import ops

from kerasdml.layers import ToPoincare
from tests.conftest import value_and_gradient


def test_points_worked_by_hand():
    # tanh(2.3 √0.1) / √0.1 = 1.96512, where the factor is (1 - 0.386)² / 4 = 0.0942.
    x = np.array([[0, 50], [0, 0]], "float32")
    value, gradient = value_and_gradient(lambda x: ToPoincare()(x)[0, 1], x)
    np.testing.assert_allclose(value, 1.96512, rtol=1e-5)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-9)  # cut: no gradient of length
    _, across = value_and_gradient(lambda x: ops.sum(ToPoincare()(x)[:, 0]), x)
    np.testing.assert_allclose(across, [[0.0942 * 1.96512 / 50, 0], [0.25, 0]], 1e-3)


def test_gradient_as_it_is_on_request():
    layer = ToPoincare(riemannian_gradient=False)
    x = np.zeros((1, 2), "float32")
    _, gradient = value_and_gradient(lambda x: ops.sum(layer(x)), x)
    np.testing.assert_allclose(gradient, [[1, 1]])


def test_in_an_embedder_that_is_saved(tmp_path):
    embedder = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2), ToPoincare(curvature=0.5)]
    )
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    embedder.save(tmp_path / "embedder.keras")
    again = keras.models.load_model(tmp_path / "embedder.keras")
    assert again.layers[-1].get_config() == embedder.layers[-1].get_config()
    np.testing.assert_array_equal(again.predict(x), embedder.predict(x))


def test_is_computed_in_float32_under_a_half_precision_policy():
    assert ToPoincare()(np.ones((1, 2), "float16")).dtype in ("float32", np.float32)


@pytest.mark.parametrize("bad", [{"curvature": 0.0}, {"clip": -1.0}])
def test_rejects_a_ball_that_is_none(bad):
    with pytest.raises(ValueError, match="`clip` must be positive. Received: curv"):
        ToPoincare(**bad)
