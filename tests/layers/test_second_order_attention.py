import keras
import numpy as np
import pytest

from kerasdml.layers import SecondOrderAttention
from tests.conftest import compiled, value_and_gradient


def features(channels=4):
    generator = np.random.default_rng(0)
    return generator.normal(size=(2, 3, 5, channels)).astype("float32")


def trained(layer, x):
    """The layer with random weights, also where it begins with zeros."""
    generator = np.random.default_rng(1)
    layer.build(x.shape)
    layer.set_weights([generator.uniform(0.1, 1, w.shape) for w in layer.get_weights()])
    return layer


def formula(x, layer, scale):
    """The output at each position of each image, one at a time."""
    weights = {
        name: [np.asarray(w, "float64") for w in getattr(layer, name).get_weights()]
        for name in ("query", "key", "value", "out")
    }

    def mapped(name, tokens):
        kernel, bias = weights[name]
        return tokens @ kernel + bias

    out = np.zeros(x.shape)
    for image, found in zip(x.astype("float64"), out, strict=True):
        tokens = image.reshape(-1, image.shape[-1])
        q, k, v = (mapped(name, tokens) for name in ("query", "key", "value"))
        held = []
        for query in q:
            weight = np.exp(scale * (k @ query))
            held.append(weight / weight.sum() @ v)
        found[:] = (tokens + mapped("out", np.array(held))).reshape(image.shape)
    return out


@pytest.mark.parametrize("reduction, inner", [(1, 4), (2, 2), (9, 1)])
@pytest.mark.parametrize("scale", [None, 1.0])
def test_agrees_with_the_formula(reduction, inner, scale):
    x = features()
    layer = trained(SecondOrderAttention(reduction, scale), x)
    assert layer.query.kernel.shape == (4, inner)
    expected = formula(x, layer, scale or inner**-0.5)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-4)
    np.testing.assert_allclose(compiled(layer)(x), expected, rtol=1e-4)


@pytest.mark.parametrize("normalize", [False, True])
def test_begins_as_the_identity(normalize):
    x = features()
    layer = SecondOrderAttention(normalize=normalize)
    np.testing.assert_array_equal(layer(x), x)
    assert len(layer.trainable_weights) == (12 if normalize else 8)


@pytest.mark.parametrize("scale, own", [(1.0, 0.7310586), (None, 0.6697615)])
def test_values_worked_by_hand(scale, own):
    # Of two orthogonal tokens, by maps that change nothing, each gives the share e^z of
    # e^z + 1 to itself: z = 1, or 1 over the root of two channels.
    x = np.eye(2, dtype="float32").reshape(1, 2, 1, 2)
    layer = SecondOrderAttention(reduction=1, scale=scale)
    layer.build(x.shape)
    layer.set_weights([np.eye(2), np.zeros(2)] * 4)
    expected = np.eye(2) + [[own, 1 - own], [1 - own, own]]
    np.testing.assert_allclose(np.reshape(layer(x), (2, 2)), expected, rtol=1e-6)


def test_ignores_the_order_of_the_positions():
    x = features()
    layer = trained(SecondOrderAttention(), x)
    expected = np.asarray(layer(x))
    np.testing.assert_allclose(layer(x[:, ::-1]), expected[:, ::-1], rtol=1e-5)


def test_normalizes_queries_and_keys():
    # In training each channel of the queries has mean 0 and deviation 1 before the
    # ReLU, however large the features are.
    x = features()
    layer = SecondOrderAttention(normalize=True)
    layer.build(x.shape)
    layer.out.kernel.assign(np.ones(layer.out.kernel.shape))
    moved = np.asarray(layer(1000 * x, training=True)) / 1000
    np.testing.assert_allclose(moved, layer(x, training=True), rtol=1e-2, atol=1e-2)


def test_a_mixed_precision_keeps_its_type_and_stays_finite():
    layer = SecondOrderAttention(scale=1.0, dtype="mixed_float16")
    x = 200 * features()
    out = layer(x)
    assert keras.backend.standardize_dtype(out.dtype) == "float16"
    assert np.isfinite(np.asarray(out)).all()


def test_all_maps_train():
    x = features()
    layer = trained(SecondOrderAttention(), x)
    _, slopes = value_and_gradient(lambda x: keras.ops.sum(layer(x) ** 2), x)
    assert np.isfinite(slopes).all() and np.abs(slopes).max() > 0


def test_config_round_trip():
    layer = SecondOrderAttention(4, 1.0, True, name="soa")
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.get_config() == layer.get_config()
    assert twin.compute_output_shape((None, 4, 5, 3)) == (None, 4, 5, 3)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"reduction": 0}, "`reduction` must be an integer of at least 1"),
        ({"reduction": 2.0}, "Received: reduction=2.0"),
        ({"scale": 0.0}, "`scale` must be positive, or `None`. Received: scale=0.0"),
    ],
)
def test_rejects_what_is_out_of_range(bad, message):
    with pytest.raises(ValueError, match=message):
        SecondOrderAttention(**bad)
