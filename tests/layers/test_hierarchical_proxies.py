import keras
import numpy as np
import pytest

from kerasdml.layers import HierarchicalProxies


def test_points_are_those_of_its_tangents_in_the_ball():
    layer = HierarchicalProxies(num_proxies=200)
    layer.build(16)
    assert [w.path for w in layer.trainable_weights] == [layer.tangents.path]
    tangents = keras.ops.convert_to_numpy(layer.tangents)
    lengths = np.linalg.norm(tangents, axis=1)
    np.testing.assert_allclose(lengths.mean(), 2.07, rtol=0.05)
    # tanh(√c l) / √c, in the direction of the tangent.
    radii = np.tanh(np.minimum(lengths, 2.3) * 0.1**0.5) / 0.1**0.5
    expected = tangents / lengths[:, None] * radii[:, None]
    np.testing.assert_allclose(layer.points(), expected, rtol=1e-5)


def test_config_round_trip():
    layer = HierarchicalProxies(num_proxies=3, curvature=1.0, name="nodes")
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.get_config() == layer.get_config() and not twin.built


@pytest.mark.parametrize("num_proxies", [1, 2.5, None])
def test_rejects_fewer_than_two(num_proxies):
    with pytest.raises(ValueError, match="integer of at least 2. Received: num_prox"):
        HierarchicalProxies(num_proxies=num_proxies)
