import keras
import numpy as np
import pytest
from keras import ops as tensors

from kerasdml import ops
from tests.conftest import value_and_gradient


def definition(similarity, a, b):
    """The similarity of two vectors, in float64."""
    a, b = a.astype("float64"), b.astype("float64")
    if similarity == "dot":
        return a @ b
    if similarity == "euclidean":
        return -np.sqrt(np.sum((a - b) ** 2))
    return a @ b / np.sqrt((a @ a) * (b @ b))


def random_embeddings():
    generator = np.random.default_rng(0)
    queries, references = generator.normal(size=(5, 3)), generator.normal(size=(7, 3))
    return queries.astype("float32"), references.astype("float32")


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_agree_with_the_definition(similarity):
    queries, references = random_embeddings()
    expected = [[definition(similarity, a, b) for b in references] for a in queries]
    s = ops.similarities(queries, references, similarity)
    np.testing.assert_allclose(s, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "similarity, expected", [("cosine", 0.96), ("dot", 48.0), ("euclidean", -(29**0.5))]
)
def test_values_worked_by_hand(similarity, expected):
    # (3, 4) and (8, 6): 24 + 24 over 5 * 10; the difference is (5, 2), of square 29.
    a, b = np.array([[3, 4]], "float32"), np.array([[8, 6]], "float32")
    s = ops.similarities(a, b, similarity)
    np.testing.assert_allclose(s, [[expected]], rtol=1e-6)


def test_compare_by_cosine_if_not_told():
    queries, references = random_embeddings()
    np.testing.assert_array_equal(
        ops.similarities(queries, references),
        ops.similarities(queries, references, "cosine"),
    )


def test_an_embedding_is_at_distance_0_of_itself_with_gradient_0():
    x = np.full((2, 3), 123.456, "float32")

    def total(x):
        return tensors.sum(ops.similarities(x, x, "euclidean"))

    value, gradient = value_and_gradient(total, x)
    assert value == 0 and (gradient == 0).all()


def test_small_distances_of_long_vectors_are_kept():
    x = np.array([[30, 40], [30, 40.5]], "float32")
    s = ops.similarities(x, x, "euclidean")
    np.testing.assert_allclose(s, [[0, -0.5], [-0.5, 0]], rtol=1e-2)


def test_reject_an_unknown_name():
    message = "'cosine', 'dot' and 'euclidean'. Received: similarity='l2'"
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
