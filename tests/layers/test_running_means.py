import keras
import numpy as np
import pytest

from kerasdml.layers import RunningMeans


def test_are_the_means_of_all_steps_of_training():
    layer = RunningMeans(count=2)
    layer.build(5)
    np.testing.assert_allclose(layer.updated(np.array([8.0, 9.0]), False), [8, 9])
    np.testing.assert_allclose(layer.updated(np.array([2.0, 4.0]), True), [2, 4])
    np.testing.assert_allclose(layer.updated(np.array([4.0, 5.0]), True), [3, 4.5])
    np.testing.assert_allclose(layer.updated(np.array([9.0, 9.0]), False), [3, 4.5])
    np.testing.assert_allclose(layer.updated(np.array([0.0, 0.0]), True), [2, 3])
    assert layer.trainable_weights == []


def test_a_rate_makes_them_follow_the_newest():
    layer = RunningMeans(count=1, rate=0.25)
    layer.build(5)
    # The first as it is, then 2 + (6 - 2) / 4 = 3.
    np.testing.assert_allclose(layer.updated(np.array([2.0]), True), [2])
    np.testing.assert_allclose(layer.updated(np.array([6.0]), True), [3])
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.get_config() == layer.get_config()


@pytest.mark.parametrize("rate", [0, 1.5])
def test_rejects_a_rate_that_is_no_share(rate):
    with pytest.raises(ValueError, match=r"in \(0, 1\]. Received: rate="):
        RunningMeans(count=1, rate=rate)
