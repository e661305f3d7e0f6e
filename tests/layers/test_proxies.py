import keras
import numpy as np
import pytest

from kerasdml.layers import Proxies


def test_holds_one_trained_point_a_class():
    layer = Proxies(5)
    assert not layer.built
    layer.build(3)
    assert layer.built and layer.points.shape == (5, 3)
    assert [w.path for w in layer.trainable_weights] == [layer.points.path]


def test_draws_the_points_as_told():
    layer = Proxies(4, initializer=keras.initializers.Constant(0.5))
    layer.build(2)
    np.testing.assert_array_equal(layer.points, np.full((4, 2), 0.5))


def test_stays_in_float32_under_a_half_precision_policy():
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_float16")
        layer = Proxies(3)
        layer.build(2)
    finally:
        keras.config.set_dtype_policy(before)
    assert layer.points.dtype == "float32"


def test_config_round_trip():
    layer = Proxies(3, keras.initializers.RandomNormal(stddev=0.25), name="centres")
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.get_config() == layer.get_config()
    assert twin.initializer.stddev == 0.25 and twin.name == "centres"


def test_counts_classes_as_numpy_does():
    layer = Proxies(np.int64(3))
    assert type(layer.num_classes) is int


@pytest.mark.parametrize("num_classes", [1, -3, 2.5, None])
def test_rejects_fewer_than_two_classes(num_classes):
    message = "a class needs others to differ from. Received: num_classes="
    with pytest.raises(ValueError, match=message):
        Proxies(num_classes)


def test_holds_several_points_a_class_class_by_class():
    layer = Proxies(4, per_class=3)
    layer.build(2)
    assert layer.points.shape == (12, 2)
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.per_class == 3


def test_penalizes_the_points():
    ones = keras.initializers.Ones()
    layer = Proxies(4, ones, regularizer=keras.regularizers.L2(0.5))
    layer.build(2)
    np.testing.assert_allclose(layer.losses, [0.5 * 8])
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.regularizer.l2 == 0.5


@pytest.mark.parametrize("per_class", [0, 1.5, None])
def test_rejects_fewer_than_one_point_a_class(per_class):
    with pytest.raises(ValueError, match="points that each class has. Received: per_"):
        Proxies(4, per_class=per_class)


def points_of(layer):
    return keras.ops.convert_to_numpy(layer.points)


@pytest.fixture
def square():
    """Two classes at right angles."""
    layer = Proxies(2, name="corners")
    layer.build(2)
    layer.points.assign(np.eye(2, dtype="float32"))
    return layer


def test_imprints_the_mean_direction_of_normalised_examples(square):
    # Lengths do not count: of (10, 0) and (0, 1) it is (0.7071, 0.7071).
    grown = square.imprint([2, 2, 3], np.array([[10, 0], [0, 1], [0.6, 0.8]]))
    assert (grown.num_classes, grown.name) == (4, "corners")
    np.testing.assert_array_equal(points_of(grown)[:2], np.eye(2))
    np.testing.assert_allclose(normalize(points_of(grown))[2], [0.70710678] * 2, 1e-6)
    # At a scale of 10 the softmax for the query (1, 0), worked by hand.
    logits = 10 * normalize(points_of(grown))[:3, 0]
    p = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(p, [0.949217, 0.000043, 0.050740], atol=1e-6)
    assert square.num_classes == 2


def test_examples_one_by_one_are_as_good_as_all_at_once(square):
    x = np.random.default_rng(0).normal(size=(5, 2))
    expected = points_of(square.imprint([2] * 5, x))
    layer = square.imprint([2], x[3:4])
    for i in (1, 4, 0, 2):
        assert layer.imprint([2], x[i : i + 1], "accumulate") is layer
    np.testing.assert_allclose(points_of(layer), expected, rtol=1e-5)
    repeated = square.imprint([2] * 15, np.repeat(x, 3, axis=0))
    np.testing.assert_allclose(
        normalize(points_of(repeated)), normalize(expected), rtol=1e-5
    )


def test_overwrites_only_the_classes_that_have_examples(square):
    square.imprint([1], np.array([[-3.0, 0]]), "overwrite")
    np.testing.assert_array_equal(points_of(square), [[1, 0], [-1, 0]])


@pytest.mark.parametrize(
    "labels, embeddings, mode, message",
    [
        ([3], [[1, 0]], "append", "that follow, from 2 on, .* Received: 3"),
        ([2, 4], [[1, 0]] * 2, "append", "each with an example. Received: 2, 4"),
        ([2], [[1, 0]], "overwrite", "must be 0 … 1, .* Received: 2 … 2"),
        ([-1], [[1, 0]], "accumulate", "Received: -1 … -1"),
        ([2, 2], [[1, 0], [-1, 0]], "append", "those of class 2 cancel out"),
        ([2], [[0, 0]], "append", "must have a mean direction"),
        ([2], [[np.nan, 0]], "append", "Received: 0 such of 1"),
        ([], np.zeros((0, 2)), "append", "of at least one example. Received: 0"),
        ([2], [[1, 0, 0]], "append", r"must be `\(n, 2\)` .* shape \(1, 3\)"),
        ([2], [[1, 0]], "add", "'overwrite' or 'accumulate'. Received: mode='add'"),
    ],
)
def test_rejects_examples_that_make_no_class(square, labels, embeddings, mode, message):
    labels = np.array(labels, "int64")
    with pytest.raises(ValueError, match=message):
        square.imprint(labels, np.array(embeddings, "float64"), mode)


def test_imprints_only_where_a_class_has_one_point():
    layer = Proxies(2, per_class=3)
    layer.build(2)
    with pytest.raises(ValueError, match="Received: built=True, per_class=3"):
        layer.imprint([2], np.ones((1, 2)))


def normalize(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)
