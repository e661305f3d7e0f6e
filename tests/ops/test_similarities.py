import keras
import numpy as np
import pytest
from keras import ops as tensors

from kerasdml import ops
from tests.conftest import compiled, value_and_gradient

EACH = (
    "cosine",
    "dot",
    "euclidean",
    "squared_euclidean",
    "manhattan",
    "signal_to_noise",
    "hyperbolic",
)
each = pytest.mark.parametrize("similarity", EACH)
each_distance = pytest.mark.parametrize("similarity", EACH[2:])


def definition(similarity, a, b):
    """The similarity of two vectors, in float64."""
    a, b = a.astype("float64"), b.astype("float64")
    if similarity == "dot":
        return a @ b
    if similarity == "euclidean":
        return -np.sqrt(np.sum((a - b) ** 2))
    if similarity == "squared_euclidean":
        return -np.sum((a - b) ** 2)
    if similarity == "manhattan":
        return -np.sum(np.abs(a - b))
    if similarity == "signal_to_noise":
        return -np.var(a - b, ddof=1) / np.var(a, ddof=1)
    if similarity == "hyperbolic":
        return -hyperbolic_distance(in_ball(a), in_ball(b))
    return a @ b / np.sqrt((a @ a) * (b @ b))


def in_ball(u):
    length = np.sqrt(u @ u)
    cut = u * min(1.0, 2.3 / length)
    length = np.sqrt(cut @ cut)
    return np.tanh(length) * cut / length


def hyperbolic_distance(x, y):
    """By the Möbius addition of -x and y."""
    x = -x
    top = (1 + 2 * x @ y + y @ y) * x + (1 - x @ x) * y
    moved = top / (1 + 2 * x @ y + (x @ x) * (y @ y))
    return 2 * np.arctanh(np.sqrt(moved @ moved))


def random_embeddings():
    generator = np.random.default_rng(0)
    queries, references = generator.normal(size=(5, 3)), generator.normal(size=(7, 3))
    queries[0] *= 3.0  # longer than the hyperbolic similarity lets it be
    return queries.astype("float32"), references.astype("float32")


@each
def test_agree_with_the_definition(similarity):
    queries, references = random_embeddings()
    expected = [[definition(similarity, a, b) for b in references] for a in queries]
    s = ops.similarities(queries, references, similarity)
    np.testing.assert_allclose(s, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "similarity, expected",
    [
        ("cosine", 0.96),
        ("dot", 48.0),
        ("euclidean", -(29**0.5)),
        ("squared_euclidean", -29.0),
        ("manhattan", -7.0),
        ("signal_to_noise", -9.0),
    ],
)
def test_values_worked_by_hand(similarity, expected):
    # (3, 4) and (8, 6): 24 + 24 over 5 * 10; the difference is (5, 2), of square 29.
    # Less their means, the first is (-1, 1) / 2 and the difference (3, -3) / 2.
    a, b = np.array([[3, 4]], "float32"), np.array([[8, 6]], "float32")
    s = ops.similarities(a, b, similarity)
    np.testing.assert_allclose(s, [[expected]], rtol=1e-6)


def test_hyperbolic_values_worked_by_hand():
    # From the centre, twice the length; opposite points are apart by the sum of that.
    # Lengths count up to 2.3.
    a = np.array([[0, 0], [1, 0], [-0.5, 0], [0, 99]], "float32")
    s = ops.similarities(a, a, "hyperbolic")
    np.testing.assert_allclose(s[0], [0, -2, -1, -4.6], rtol=1e-5)
    np.testing.assert_allclose(s[1][2], -3, rtol=1e-5)


def test_only_signal_to_noise_tells_query_and_reference_apart():
    queries, _ = random_embeddings()
    for similarity in EACH:
        s = np.array(ops.similarities(queries, queries, similarity))
        symmetric = np.allclose(s, s.T, atol=1e-6)
        assert symmetric == (similarity != "signal_to_noise"), similarity


def weighted(similarity, queries, references):
    """A sum of similarities in which each pair counts differently."""
    s = ops.similarities(queries, references, similarity)
    weights = np.random.default_rng(1).normal(size=(5, 7))
    return tensors.sum(s * tensors.cast(weights, s.dtype))


@each
@pytest.mark.parametrize("side", [0, 1])
def test_gradients_agree_with_finite_differences(similarity, side):
    if keras.backend.backend() == "jax":
        pytest.skip("JAX computes in float32 here, too coarse for differences")
    pair = [x.astype("float64") for x in random_embeddings()]
    way, delta = np.random.default_rng(2).normal(size=pair[side].shape), 1e-6

    def total(x):
        both = list(pair)
        both[side] = x
        return weighted(similarity, *both)

    slope = total(pair[side] + delta * way) - total(pair[side] - delta * way)
    _, gradient = value_and_gradient(total, pair[side])
    np.testing.assert_allclose(
        np.sum(gradient * way), float(slope) / (2 * delta), rtol=1e-6
    )


@each
def test_xla_agrees_with_eager(similarity):
    queries, references = random_embeddings()
    function = compiled(lambda a, b: weighted(similarity, a, b))
    for side in (0, 1):
        order = slice(None, None, -1 if side else 1)
        pair = (queries, references)[order]
        value, slopes = value_and_gradient(
            lambda x, o=order, p=pair: weighted(similarity, *(x, p[1])[o]), pair[0]
        )
        found, gradient = value_and_gradient(
            lambda x, o=order, p=pair: function(*(x, p[1])[o]), pair[0]
        )
        np.testing.assert_allclose(found, value, rtol=1e-5)
        np.testing.assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-5)


@each
def test_a_graph_takes_any_number_of_embeddings(similarity):
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("JAX has no graph beside `jit`, which has a test of its own")

    @tf.function(input_signature=[tf.TensorSpec((None, 3))] * 2)
    def graph(a, b):
        with tf.GradientTape() as tape:
            tape.watch((a, b))
            s = ops.similarities(a, b, similarity)
        return s, tape.gradient(s, (a, b))

    queries, references = random_embeddings()
    for count in (2, 5):
        s, slopes = graph(queries[:count], references)
        expected = ops.similarities(queries[:count], references, similarity)
        np.testing.assert_allclose(s, expected, rtol=1e-5, atol=1e-6)
        assert slopes[0].shape == (count, 3) and slopes[1].shape == (7, 3)


@each
@pytest.mark.parametrize("scale", [0.0, 1e-9, 1e4])
def test_gradients_are_finite_at_zero_and_at_any_scale(similarity, scale):
    x = (scale * random_embeddings()[0]).astype("float32")
    x[1] = x[0]
    value, gradient = value_and_gradient(
        lambda x: tensors.sum(ops.similarities(x, x, similarity)), x
    )
    assert np.isfinite(value) and np.isfinite(gradient).all()


def test_compare_by_cosine_if_not_told():
    queries, references = random_embeddings()
    np.testing.assert_array_equal(
        ops.similarities(queries, references),
        ops.similarities(queries, references, "cosine"),
    )


@each_distance
def test_an_embedding_is_at_distance_0_of_its_copies_with_gradient_0(similarity):
    x = np.tile(np.array([[123.456, -7.89, 0.1]], "float32"), (2, 1))

    def total(x):
        return tensors.sum(ops.similarities(x, x, similarity))

    value, gradient = value_and_gradient(total, x)
    assert value == 0 and (gradient == 0).all()


def test_embeddings_without_a_signal_are_compared_by_the_noise_alone():
    # The difference is (-2, 1, 1) less a constant, of squared length 6.
    a, b = np.array([[5, 5, 5]], "float32"), np.array([[7, 4, 4]], "float32")
    np.testing.assert_allclose(ops.similarities(a, b, "signal_to_noise"), [[-6.0]])
    np.testing.assert_array_equal(ops.similarities(a, a, "signal_to_noise"), [[0.0]])


def test_small_distances_of_long_vectors_are_kept():
    x = np.array([[30, 40], [30, 40.5]], "float32")
    s = ops.similarities(x, x, "euclidean")
    np.testing.assert_allclose(s, [[0, -0.5], [-0.5, 0]], rtol=1e-2)


def test_reject_an_unknown_name():
    message = "'cosine', 'dot', .* and 'hyperbolic'. Received: similarity='l2'"
    with pytest.raises(ValueError, match=message):
        ops.similarities(np.eye(2), np.eye(2), "l2")


def test_normalize_worked_by_hand():
    x = np.array([[3, 4], [0, -2], [0, 0], [6e-9, 8e-9]], "float32")
    expected = [[0.6, 0.8], [0, -1], [0, 0], [0.6, 0.8]]
    np.testing.assert_allclose(ops.normalize(x), expected, rtol=1e-6)


def test_normalize_has_the_gradient_of_the_formula():
    # d(u . w)/dx = (w - u (u . w)) / |x| with u = x / |x|; and w at zero.
    x = np.array([[3.0, 4.0], [0.0, 0.0]], "float32")
    w = np.array([[1.0, 0.0], [1.0, 2.0]], "float32")
    _, gradient = value_and_gradient(lambda x: tensors.sum(w * ops.normalize(x)), x)
    expected = [[(1 - 0.36) / 5, (0 - 0.48) / 5], [1.0, 2.0]]
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_normalize_keeps_the_dtype(dtype):
    x = tensors.convert_to_tensor(np.eye(2, dtype=dtype))
    assert keras.backend.standardize_dtype(ops.normalize(x).dtype) == dtype


def test_safe_sqrt_is_the_root_where_there_is_one():
    x = np.array([4.0, 2.25, 0.0, -1.0], "float32")
    value, gradient = value_and_gradient(
        lambda x: tensors.sum(ops.safe_sqrt(x)), np.array([4.0, 0.0, -1.0], "float32")
    )
    np.testing.assert_allclose(ops.safe_sqrt(x), [2, 1.5, 0, 0])
    np.testing.assert_allclose(gradient, [0.25, 0, 0])
    assert value == 2


def test_safe_sqrt_takes_what_rounding_leaves_for_0():
    x = np.array([1e-3, 1e-3], "float32")
    scale = np.array([1.0, 1e4], "float32")  # resolved to about 1e-7 and 1e-3
    np.testing.assert_allclose(ops.safe_sqrt(x, scale), [1e-3**0.5, 0], rtol=1e-6)
