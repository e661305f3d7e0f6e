import keras
import numpy as np
import pytest
from keras.applications.imagenet_utils import preprocess_input

from kerasdml.layers import ImageNetPreprocessing

each_mode = pytest.mark.parametrize("mode", ["tf", "torch", "caffe"])


def images(dtype="float32"):
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, size=(2, 4, 5, 3)).astype(dtype)


@each_mode
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_equals_that_of_keras_applications(mode, dtype):
    expected = preprocess_input(images(), data_format="channels_last", mode=mode)
    values = ImageNetPreprocessing(mode)(images(dtype))
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-5)


@each_mode
def test_follows_the_dtype_policy(mode):
    values = ImageNetPreprocessing(mode, dtype="mixed_float16")(images())
    assert keras.backend.standardize_dtype(values.dtype) == "float16"
    expected = ImageNetPreprocessing(mode)(images())
    np.testing.assert_allclose(values, expected, atol=2e-3 * np.max(np.abs(expected)))


@each_mode
def test_config_round_trip(mode):
    layer = ImageNetPreprocessing(mode, name="prepare")
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.get_config() == layer.get_config() and twin.mode == mode


def test_rejects_an_unknown_mode():
    with pytest.raises(
        ValueError, match="'torch' or 'caffe'. Received: mode='pytorch'"
    ):
        ImageNetPreprocessing("pytorch")
