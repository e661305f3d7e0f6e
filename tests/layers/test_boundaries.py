import keras
import numpy as np
import pytest

from kerasdml.layers import Boundaries
from tests.conftest import value_and_gradient


def built(**arguments):
    layer = Boundaries(**arguments)
    layer.build(5)
    return layer


def test_one_is_for_all_and_for_any_label():
    layer = built(initial=0.8)
    assert layer.distances.shape == (1,)
    np.testing.assert_allclose(layer.of(np.array([7, 2**30, -1])), [[0.8]])


def test_each_class_has_its_own():
    layer = built(num_classes=3)
    np.testing.assert_allclose(layer.distances, [1.2, 1.2, 1.2])
    layer.distances.assign([0.1, 0.2, 0.3])
    found = layer.of(np.array([2, 0, 2]))
    np.testing.assert_allclose(found, [[0.3], [0.1], [0.3]])


def test_a_class_that_it_does_not_have_is_nan_and_no_class_is_finite():
    found = np.asarray(built(num_classes=3).of(np.array([3, -2, -1])))[:, 0]
    np.testing.assert_array_equal(np.isnan(found), [True, True, False])


@pytest.mark.parametrize("learned", [True, False])
def test_are_trained_if_told(learned):
    layer = built(learned=learned)
    assert len(layer.trainable_weights) == int(learned)
    assert len(layer.weights) == 1


def test_a_class_that_is_absent_has_no_gradient():
    labels = np.array([0, 2, 2])

    def total(distances):
        layer = built(num_classes=4)
        layer.distances = distances * 1.0  # so that the gradient is dense
        return keras.ops.sum(layer.of(labels))

    _, gradient = value_and_gradient(total, np.full(4, 1.2, "float32"))
    np.testing.assert_array_equal(gradient, [1, 0, 2, 0])


def test_config_round_trip():
    layer = Boundaries(num_classes=3, initial=0.6, learned=False)
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.get_config() == layer.get_config()


def test_rejects_fewer_than_two_classes():
    with pytest.raises(ValueError, match="at least 2.*Received: num_classes=1"):
        Boundaries(num_classes=1)
