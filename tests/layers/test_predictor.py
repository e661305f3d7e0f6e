import keras
import numpy as np
import pytest

from kerasdml.layers import Predictor


def test_is_two_dense_layers_around_a_normalised_bottleneck():
    layer = Predictor(hidden=3)
    layer.build(5)
    narrow, bias, widen, shift = (
        keras.ops.convert_to_numpy(x).astype(float) for x in layer.weights
    )
    assert narrow.shape == (5, 3) and widen.shape == (3, 5)
    x = np.random.default_rng(0).normal(size=(4, 5))
    hidden = x @ narrow + bias
    hidden = (hidden - hidden.mean(1, keepdims=True)) / hidden.std(1, keepdims=True)
    expected = np.maximum(hidden, 0.0) @ widen + shift
    np.testing.assert_allclose(layer(x.astype("float32")), expected, rtol=1e-3)


@pytest.mark.parametrize("dim, hidden", [(64, 16), (5, 8)])
def test_is_a_quarter_as_wide_in_the_middle(dim, hidden):
    layer = Predictor()
    layer.build(dim)
    assert layer.weights[0].shape == (dim, hidden)


@pytest.mark.parametrize("hidden", [0, 2.5])
def test_rejects_a_hidden_size_that_is_none(hidden):
    with pytest.raises(ValueError, match="integer of at least 1, or None. Received: h"):
        Predictor(hidden=hidden)
