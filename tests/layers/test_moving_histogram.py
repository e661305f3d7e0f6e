import keras
import numpy as np
import pytest

from kerasdml.layers import MovingHistogram


def test_moves_towards_the_counts_of_training():
    layer = MovingHistogram(nodes=2, rate=0.25)
    layer.build(5)
    np.testing.assert_allclose(layer.updated([9.0, 1.0], training=False), [0.5, 0.5])
    np.testing.assert_allclose(layer.updated([4.0, 0.0], training=True), [1.0, 0.0])
    # A quarter of the way towards (0, 1).
    np.testing.assert_allclose(layer.updated([0.0, 3.0], training=True), [0.75, 0.25])
    np.testing.assert_allclose(layer.updated([0.0, 0.0], training=True), [0.75, 0.25])
    np.testing.assert_allclose(layer.updated([9.0, 1.0], training=False), [0.75, 0.25])
    assert layer.trainable_weights == []


def test_config_round_trip():
    layer = MovingHistogram(nodes=7, rate=1, name="hardness")
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.get_config() == layer.get_config() and twin.nodes == 7


def test_rejects_a_rate_that_is_no_share():
    with pytest.raises(ValueError, match=r"in \(0, 1\]. Received: rate=0"):
        MovingHistogram(nodes=3, rate=0)
