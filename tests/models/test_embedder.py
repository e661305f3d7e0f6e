import keras
import numpy as np
import pytest

from kerasdml import models
from kerasdml.models.backbones import conv4


def images(channels=3, size=32, count=2):
    rng = np.random.default_rng(0)
    shape = (count, size, size, channels)
    return rng.integers(0, 256, shape).astype("float32")


@pytest.mark.parametrize("pooling", ["avg", "max", "avg+max", "gem"])
@pytest.mark.parametrize("channels", [1, 3])
def test_conv4_embeds_to_unit_length(pooling, channels):
    model = models.Embedder(
        "conv4", dim=7, pooling=pooling, input_shape=(32, 32, channels)
    )
    embeddings = model.predict(images(channels), verbose=0)
    assert embeddings.shape == (2, 7) and embeddings.dtype == "float32"
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, rtol=1e-5)


def test_raw_embeddings_are_not_normalised():
    keras.utils.set_random_seed(0)
    raw = models.Embedder("conv4", dim=7, input_shape=(32, 32, 1), normalize=False)
    unit = models.Embedder("conv4", dim=7, input_shape=(32, 32, 1))
    unit.set_weights(raw.get_weights())
    x = raw.predict(images(1), verbose=0)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    assert np.abs(lengths - 1).max() > 0.1
    np.testing.assert_allclose(
        x / lengths, unit.predict(images(1), verbose=0), rtol=1e-4, atol=1e-6
    )


def test_a_blank_image_leaves_the_gradient_finite():
    model = models.Embedder("conv4", dim=7, input_shape=(16, 16, 1))
    model.compile("sgd", loss="mse")
    loss = model.train_on_batch(np.zeros((4, 16, 16, 1)), np.ones((4, 7)))
    assert np.isfinite(loss)
    assert all(
        np.isfinite(w).all() and np.abs(w).max() < 1e3 for w in model.get_weights()
    )


def test_mixed_precision_still_gives_float32():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = models.Embedder("conv4", dim=7, input_shape=(16, 16, 1))
        assert model.predict(images(1, 16), verbose=0).dtype == "float32"
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize(
    "name", ["mobilenet_v2", "MobileNetV2", "mobilenetv2", "resnet50", "densenet121"]
)
def test_backbones_go_by_any_spelling(name):
    model = models.Embedder(name, dim=4, input_shape=(32, 32, 3))
    assert model.output_shape == (None, 4)


def test_preprocessing_of_a_backbone_is_the_one_it_was_trained_with():
    # MobileNetV2 wants x / 127.5 - 1, so an input of 127.5 is its 0.
    keras.utils.set_random_seed(0)
    model = models.Embedder("mobilenet_v2", dim=4, input_shape=(32, 32, 3))
    backbone = next(x for x in model.layers if isinstance(x, keras.Model))
    head = keras.Sequential([keras.layers.GlobalAveragePooling2D(), *model.layers[-2:]])
    x = images()
    expected = head(backbone(x / 127.5 - 1.0, training=False))
    np.testing.assert_allclose(
        model.predict(x, verbose=0), np.asarray(expected), rtol=1e-3, atol=1e-5
    )


def test_grey_images_feed_a_colour_backbone_as_three_equal_channels():
    keras.utils.set_random_seed(0)
    grey = models.Embedder("mobilenet_v2", dim=4, input_shape=(32, 32, 1))
    colour = models.Embedder("mobilenet_v2", dim=4, input_shape=(32, 32, 3))
    colour.set_weights(grey.get_weights())
    x = images(1)
    np.testing.assert_allclose(
        grey.predict(x, verbose=0),
        colour.predict(np.repeat(x, 3, axis=-1), verbose=0),
        rtol=1e-5,
    )


def test_weights_load_from_an_npz_by_layer_and_variable(tmp_path):
    source = conv4((16, 16, 1))
    source.set_weights(
        [np.random.default_rng(0).normal(size=w.shape) for w in source.get_weights()]
    )
    arrays = {
        f"{x.name}/{w.name}": np.asarray(w) for x in source.layers for w in x.weights
    }
    np.savez(tmp_path / "w.npz", **arrays, **{"head/kernel": np.zeros(3)})
    model = models.Embedder(
        "conv4", dim=4, input_shape=(16, 16, 1), weights=tmp_path / "w.npz"
    )
    loaded = model.get_layer("conv4").get_weights()
    for a, b in zip(loaded, source.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_load_from_a_keras_weights_file(tmp_path):
    source = conv4((16, 16, 1))
    source.save_weights(tmp_path / "conv4.weights.h5")
    model = models.Embedder(
        "conv4", dim=4, input_shape=(16, 16, 1), weights=tmp_path / "conv4.weights.h5"
    )
    loaded = model.get_layer("conv4").get_weights()
    for a, b in zip(loaded, source.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_incomplete_or_misshapen_weights_are_named(tmp_path):
    source = conv4((16, 16, 1))
    arrays = {
        f"{x.name}/{w.name}": np.asarray(w) for x in source.layers for w in x.weights
    }
    kernel = arrays.pop("block2_conv/kernel")
    np.savez(tmp_path / "w.npz", **arrays)
    build = {"input_shape": (16, 16, 1), "weights": tmp_path / "w.npz"}
    with pytest.raises(ValueError, match="w.npz has no array 'block2_conv/kernel'"):
        models.Embedder("conv4", dim=4, **build)
    np.savez(tmp_path / "w.npz", **arrays, **{"block2_conv/kernel": kernel[:1]})
    with pytest.raises(ValueError, match=r"must have the shape \(3, 3, 64, 64\)"):
        models.Embedder("conv4", dim=4, **build)


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"backbone": "resnet51"}, "Unknown backbone 'resnet51'. Did you mean"),
        ({"pooling": "median"}, "`pooling` must be one of 'avg', 'max'"),
        ({"dim": 0}, "`dim` must be a positive integer. Received: dim=0"),
        ({"input_shape": (32, 32)}, "must be .height, width, channels."),
        ({"input_shape": (8, 32, 1)}, "at least 16 pixels a side"),
        ({"weights": "imagenet"}, "no ImageNet weights for 'conv4'"),
        ({"weights": "nowhere.npz"}, "nowhere.npz', which is no file"),
        ({"weights": __file__}, "must be an `.npz` or an `.h5` file"),
    ],
)
def test_bad_arguments_are_explained(kwargs, message):
    arguments = {"backbone": "conv4", "dim": 4, "input_shape": (32, 32, 1), **kwargs}
    with pytest.raises(ValueError, match=message):
        models.Embedder(**arguments)


def test_every_keras_application_has_a_name():
    names = models.backbone_names()
    assert {"conv4", "resnet50", "mobilenetv2", "efficientnetv2b0"} <= set(names)
    assert len(names) > 30
