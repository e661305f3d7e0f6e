import keras
import numpy as np
import pytest

from kerasdml.layers import ConditionalSqueezeExcite

X = np.random.default_rng(0).normal(size=(3, 2, 5, 6)).astype("float32")
MODALITY = np.array([0, 1, 1])


def trained(layer):
    generator = np.random.default_rng(1)
    layer.build(X.shape, (3,))
    layer.set_weights([generator.normal(size=w.shape) for w in layer.get_weights()])
    return layer


def test_agrees_with_the_formula():
    layer = trained(ConditionalSqueezeExcite(reduction=2))
    squeeze, excite = layer.squeeze.get_weights(), layer.excite.get_weights()
    shift = np.asarray(layer.shift)
    expected = np.zeros(X.shape)
    for image, tag, out in zip(X, MODALITY, expected, strict=True):
        hidden = np.maximum(image.mean(axis=(0, 1)) @ squeeze[0] + squeeze[1], 0)
        assert hidden.shape == (3,)
        gate = 1 / (1 + np.exp(-(hidden @ excite[0] + excite[1] + tag * shift)))
        out[:] = image * gate
    np.testing.assert_allclose(layer(X, MODALITY), expected, rtol=1e-5)
    np.testing.assert_allclose(layer(X, MODALITY[:, None]), expected, rtol=1e-5)


def test_begins_without_regard_to_the_modality():
    layer = ConditionalSqueezeExcite()
    np.testing.assert_array_equal(layer(X, MODALITY), layer(X, 1 - MODALITY))
    assert layer.squeeze.kernel.shape == (6, 1)


def test_learns_the_modality_in_a_model(tmp_path):
    images, modality = keras.Input((2, 5, 6)), keras.Input((), dtype="int32")
    x = ConditionalSqueezeExcite(2)(images, modality)
    model = keras.Model([images, modality], keras.layers.GlobalAveragePooling2D()(x))
    model.compile("sgd", "mse")
    model.fit([X, MODALITY], np.ones((3, 6)), verbose=0)
    assert np.abs(np.asarray(model.layers[-2].shift)).min() > 0
    model.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras")
    expected = model.predict([X, MODALITY], verbose=0)
    np.testing.assert_array_equal(twin.predict([X, MODALITY], verbose=0), expected)


def test_config_round_trip():
    layer = ConditionalSqueezeExcite(4, name="cse")
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.get_config() == layer.get_config()
    shape = (None, 4, 5, 3)
    assert twin.compute_output_shape(shape, (None,)) == shape


@pytest.mark.parametrize("reduction", [0, 1.5])
def test_rejects_a_reduction_that_is_no_number_of_times(reduction):
    with pytest.raises(
        ValueError, match=f"at least 1. Received: reduction={reduction}"
    ):
        ConditionalSqueezeExcite(reduction)
