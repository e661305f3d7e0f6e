import keras
import numpy as np
import pytest

from kerasdml.layers import Proxies


def test_holds_one_trained_point_a_class():
    layer = Proxies(5)
    assert not layer.built
    layer.build(3)
    assert layer.built and layer.points.shape == (5, 3)
    assert [w.path for w in layer.trainable_weights] == [layer.points.path]


def test_draws_the_points_as_told():
    layer = Proxies(4, initializer=keras.initializers.Constant(0.5))
    layer.build(2)
    np.testing.assert_array_equal(layer.points, np.full((4, 2), 0.5))


def test_stays_in_float32_under_a_half_precision_policy():
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_float16")
        layer = Proxies(3)
        layer.build(2)
    finally:
        keras.config.set_dtype_policy(before)
    assert layer.points.dtype == "float32"


def test_config_round_trip():
    layer = Proxies(3, keras.initializers.RandomNormal(stddev=0.25), name="centres")
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.get_config() == layer.get_config()
    assert twin.initializer.stddev == 0.25 and twin.name == "centres"


def test_counts_classes_as_numpy_does():
    layer = Proxies(np.int64(3))
    assert type(layer.num_classes) is int


@pytest.mark.parametrize("num_classes", [1, -3, 2.5, None])
def test_rejects_fewer_than_two_classes(num_classes):
    message = "a class needs others to differ from. Received: num_classes="
    with pytest.raises(ValueError, match=message):
        Proxies(num_classes)


def test_holds_several_points_a_class_class_by_class():
    layer = Proxies(4, per_class=3)
    layer.build(2)
    assert layer.points.shape == (12, 2)
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.per_class == 3


def test_penalizes_the_points():
    ones = keras.initializers.Ones()
    layer = Proxies(4, ones, regularizer=keras.regularizers.L2(0.5))
    layer.build(2)
    np.testing.assert_allclose(layer.losses, [0.5 * 8])
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.regularizer.l2 == 0.5


@pytest.mark.parametrize("per_class", [0, 1.5, None])
def test_rejects_fewer_than_one_point_a_class(per_class):
    with pytest.raises(ValueError, match="points that each class has. Received: per_"):
        Proxies(4, per_class=per_class)
