import keras
import numpy as np

from kerasdml.layers import L2Normalization
from tests.conftest import value_and_gradient


def test_scales_rows_to_length_1():
    x = np.array([[3, 4], [-0.1, 0], [0, 0]], "float32")
    expected = [[0.6, 0.8], [-1, 0], [0, 0]]
    np.testing.assert_allclose(L2Normalization()(x), expected, rtol=1e-6)


def test_a_row_of_zeros_has_a_gradient_of_ordinary_size():
    layer, x = L2Normalization(), np.zeros((1, 4), "float32")
    _, gradient = value_and_gradient(lambda x: keras.ops.sum(layer(x)), x)
    np.testing.assert_array_equal(gradient, np.ones((1, 4)))


def test_computes_in_float32_under_a_half_precision_policy():
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_float16")
        # The square of 300 is beyond float16.
        y = L2Normalization()(np.array([[300, 400]], "float16"))
    finally:
        keras.config.set_dtype_policy(before)
    assert keras.backend.standardize_dtype(y.dtype) == "float32"
    np.testing.assert_allclose(y, [[0.6, 0.8]], rtol=1e-6)


def test_config_round_trip():
    layer = L2Normalization(name="unit")
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.name == "unit" and twin.compute_output_shape((2, 3)) == (2, 3)
