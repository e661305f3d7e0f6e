import keras
import numpy as np
import pytest

from kerasdml.layers import GeM
from tests.conftest import value_and_gradient


def features(channels=3):
    generator = np.random.default_rng(0)
    return generator.uniform(0.1, 2, size=(2, 4, 5, channels)).astype("float32")


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0, 10.0])
def test_agrees_with_the_formula(power):
    x = features()
    expected = np.mean(x.astype("float64") ** power, axis=(1, 2)) ** (1 / power)
    np.testing.assert_allclose(GeM(power)(x), expected, rtol=1e-5)


def test_value_worked_by_hand():
    # ((1 + 8) / 2) ^ (1 / 3)
    x = np.array([[[[1.0], [2.0]]]], "float32")
    np.testing.assert_allclose(GeM()(x), [[1.650964]], rtol=1e-6)


def test_tends_to_the_maximum_without_overflow():
    x = 1000 * features()
    np.testing.assert_allclose(GeM(200.0)(x), np.max(x, axis=(1, 2)), rtol=0.02)


def test_raises_negative_features_to_the_minimum():
    x = np.array([[[[-5.0], [0.0]]]], "float32")
    value, gradient = value_and_gradient(
        lambda x: keras.ops.sum(GeM(minimum=0.5)(x)), x
    )
    np.testing.assert_allclose(value, 0.5, rtol=1e-6)
    assert (gradient == 0).all()


def test_trains_the_power():
    x, slope = features(1)[:1], 1e-3
    layer = GeM()
    layer.build(x.shape)
    up, down = GeM(3 + slope)(x), GeM(3 - slope)(x)

    def pooled(p):
        values, _ = layer.stateless_call([p], [], x)
        return keras.ops.sum(values)

    _, gradient = value_and_gradient(pooled, np.float32(3))
    expected = (float(up[0, 0]) - float(down[0, 0])) / (2 * slope)
    np.testing.assert_allclose(gradient, expected, rtol=1e-2)
    frozen = GeM(trainable=False)
    frozen.build(x.shape)
    assert len(layer.trainable_weights) == 1 and not frozen.trainable_weights


def test_config_round_trip():
    layer = GeM(power=2.0, minimum=0.1, trainable=False, name="pool")
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.get_config() == layer.get_config() and not twin.trainable
    np.testing.assert_array_equal(twin(features()), layer(features()))
    assert twin.compute_output_shape((None, 4, 5, 3)) == (None, 3)


@pytest.mark.parametrize("bad", [{"power": 0.0}, {"minimum": 0.0}])
def test_rejects_what_is_not_positive(bad):
    with pytest.raises(ValueError, match="must be positive. Received: power="):
        GeM(**bad)
