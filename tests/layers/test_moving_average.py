import keras
import numpy as np
import pytest

from kerasdml.layers import MovingAverage


def test_moves_towards_each_value_of_training():
    layer = MovingAverage(initial=2.0, rate=0.25)
    layer.build(5)
    # 2 + (6 - 2) / 4 = 3, and 3 + (7 - 3) / 4 = 4.
    np.testing.assert_allclose(layer.updated(6.0, training=True), 3.0)
    np.testing.assert_allclose(layer.updated(99.0, training=False), 3.0)
    np.testing.assert_allclose(layer.updated(7.0, training=True), 4.0)
    assert layer.trainable_weights == []
    np.testing.assert_allclose(layer.value, 4.0)


def test_config_round_trip():
    layer = MovingAverage(initial=20.0, rate=1, name="norm")
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.get_config() == layer.get_config() and twin.initial == 20.0


@pytest.mark.parametrize("rate", [0, 1.5])
def test_rejects_a_rate_that_is_no_share(rate):
    with pytest.raises(ValueError, match=r"in \(0, 1\]. Received: rate="):
        MovingAverage(rate=rate)
