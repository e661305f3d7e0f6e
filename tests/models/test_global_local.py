import keras
import numpy as np
import pytest

from kerasdml import MetricModel, losses, models

SHAPE = (32, 32, 1)


def images(count=4):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, *SHAPE)).astype("float32")


def build(**arguments):
    return models.GlobalLocal("conv4", 8, input_shape=SHAPE, **arguments)


def part(model, name):
    return keras.Model(model.input, model.get_layer(name).output)


def attend(model, *names):
    """Lets attention, which begins as the identity, add something."""
    for name in names:
        kernel = model.get_layer(name).out.kernel
        kernel.assign(np.random.default_rng(1).normal(size=kernel.shape))


@pytest.mark.parametrize("fusion", ["concat", "orthogonal"])
@pytest.mark.parametrize("pooling", ["avg", "avg+max", "gem"])
def test_embeds_to_unit_length(fusion, pooling):
    embeddings = build(fusion=fusion, pooling=pooling).predict(images(), verbose=0)
    assert embeddings.shape == (4, 8) and embeddings.dtype == "float32"
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, rtol=1e-5)


def test_each_depth_makes_half_of_the_embedding():
    # Before training attention changes nothing, so that what is left is pooling.
    model = build()
    maps = [np.asarray(x) for x in model.get_layer("conv4")(images() / 255)]
    assert [x.shape for x in maps] == [(4, 4, 4, 64), (4, 2, 2, 64)]
    halves = []
    for name, x in zip(["local", "global"], maps, strict=True):
        kernel, bias = model.get_layer(f"{name}_embedding").get_weights()
        halves.append((x.mean(axis=(1, 2)) + x.max(axis=(1, 2))) @ kernel + bias)
    expected = np.concatenate(halves, axis=1)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(
        model.predict(images(), verbose=0), expected, rtol=1e-3, atol=1e-5
    )


def test_the_local_half_ignores_the_last_stage():
    model = build()
    local, overall = part(model, "local_embedding"), part(model, "global_embedding")
    before = local(images()), overall(images())
    kernel = model.get_layer("conv4").get_layer("block4_conv").kernel
    kernel.assign(-kernel)
    np.testing.assert_array_equal(local(images()), before[0])
    assert np.abs(np.asarray(overall(images())) - before[1]).max() > 1e-3


@pytest.mark.parametrize("attend_before", [False, True])
def test_the_last_stage_goes_on_with_maps_before_or_after_attention(attend_before):
    model = build(attend_before_next_stage=attend_before)
    overall = part(model, "global_embedding")
    before = overall(images())
    attend(model, "local_attention")
    moved = np.abs(np.asarray(overall(images())) - before).max() > 1e-3
    assert moved == attend_before


@pytest.mark.parametrize("fusion", ["concat", "orthogonal"])
@pytest.mark.parametrize("attend_before", [False, True])
def test_trains_both_with_the_hybrid_loss_and_is_restored(
    fusion, attend_before, tmp_path
):
    keras.utils.set_random_seed(0)
    embedder = build(fusion=fusion, attend_before_next_stage=attend_before)
    attend(embedder, "local_attention", "global_attention")
    before = {w.path: np.array(w) for w in embedder.trainable_weights}
    model = MetricModel(embedder)
    pairs = losses.MultiSimilarity(beta=50, base=1.0, negative_sign="printed")
    model.compile("adam", loss=pairs + 0.03 * losses.ProxyAnchor(num_classes=2))
    model.fit(images(), np.array([0, 0, 1, 1]), verbose=0)
    names = ("local_", "global_", "block1_conv", "block4_conv")
    for name in names:
        moved = [
            np.abs(np.array(w) - before[w.path]).max()
            for w in embedder.trainable_weights
            if name in w.path and "kernel" in w.path
        ]
        assert moved and min(moved) > 0, name
    embedder.save(tmp_path / "embedder.keras")
    twin = keras.saving.load_model(tmp_path / "embedder.keras")
    expected = embedder.predict(images(), verbose=0)
    np.testing.assert_array_equal(twin.predict(images(), verbose=0), expected)


def test_finds_the_maps_before_the_last_reduction():
    model = models.GlobalLocal("mobilenet_v2", 4, input_shape=(64, 64, 1))
    backbone = next(x for x in model.layers if isinstance(x, keras.Model))
    # 64 pixels over 16, of six times 96 channels, and over 32.
    assert backbone.output_shape == [(None, 4, 4, 576), (None, 2, 2, 1280)]


def test_takes_the_local_features_from_any_layer():
    model = build(local_layer="block2_relu")
    assert model.get_layer("conv4").output_shape[0] == (None, 8, 8, 64)


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"dim": 7}, "`dim` must be even, .* Received: dim=7"),
        ({"dim": 0}, "`dim` must be a positive integer. Received: dim=0"),
        ({"fusion": "sum"}, "`fusion` must be 'concat' or 'orthogonal'. Received"),
        ({"pooling": "median"}, "`pooling` must be one of 'avg', 'max'"),
        ({"attention_scale": 0.0}, "`scale` must be positive"),
        ({"local_layer": "conv9"}, "No such layer: conv9"),
    ],
)
def test_bad_arguments_are_explained(kwargs, message):
    arguments = {"dim": 8, "input_shape": SHAPE, **kwargs}
    with pytest.raises(ValueError, match=message):
        models.GlobalLocal("conv4", **arguments)
