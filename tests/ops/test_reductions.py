import numpy as np
import pytest
from keras import ops as tensors

from kerasdml import ops
from tests.conftest import value_and_gradient

X = np.array([[0.5, -2.0, 3.0, 1.0], [4.0, 0.0, -1.0, 7.0], [1, 2, 3, 4]], "float32")
MASK = np.array([[1, 1, 0, 1], [0, 1, 1, 0], [0, 0, 0, 0]], bool)

# What each computes of a selection that is not empty.
DEFINITIONS = {
    "log1p_sum_exp": lambda x: np.log(1 + np.sum(np.exp(x))),
    "log_sum_exp": lambda x: np.log(np.sum(np.exp(x))),
    "masked_max": np.max,
    "masked_min": np.min,
}
each = pytest.mark.parametrize("name", DEFINITIONS)


@each
def test_agrees_with_the_definition(name):
    function, definition = getattr(ops, name), DEFINITIONS[name]
    expected = [definition(X[i, MASK[i]].astype("float64")) for i in (0, 1)]
    np.testing.assert_allclose(function(X, MASK), [*expected, 0.0], rtol=1e-6)
    columns = function(X.T, MASK.T, axis=0)
    np.testing.assert_allclose(columns, [*expected, 0.0], rtol=1e-6)


@each
def test_nothing_selected_gives_0_with_gradient_0(name):
    def total(x):
        return tensors.sum(getattr(ops, name)(x, MASK))

    _, gradient = value_and_gradient(total, X)
    assert (gradient[2] == 0).all()
    assert (gradient[~MASK] == 0).all() and (gradient[MASK] != 0).any()


@each
@pytest.mark.parametrize("size", [1e3, -1e3, 3e4])
def test_large_values_do_not_overflow(name, size):
    x = np.array([[size, size, -size]], "float32")
    mask = np.array([[True, True, False]])
    expected = {"log1p_sum_exp": max(size + np.log(2), 0.0)}
    expected["log_sum_exp"] = size + np.log(2)
    value, gradient = value_and_gradient(
        lambda x: tensors.sum(getattr(ops, name)(x, mask)), x
    )
    np.testing.assert_allclose(value, expected.get(name, size), rtol=1e-6)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", ["log1p_sum_exp", "log_sum_exp"])
def test_what_is_not_selected_may_be_infinite(name):
    x = np.array([[1.0, np.inf]], "float32")
    mask = np.array([[True, False]])
    value, gradient = value_and_gradient(
        lambda x: tensors.sum(getattr(ops, name)(x, mask)), x
    )
    np.testing.assert_allclose(value, DEFINITIONS[name](x[mask]), rtol=1e-6)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", ["log1p_sum_exp", "log_sum_exp"])
def test_the_gradient_is_the_softmax(name):
    _, gradient = value_and_gradient(
        lambda x: tensors.sum(getattr(ops, name)(x, MASK)), X
    )
    shares = np.where(MASK, np.exp(X), 0.0)[:2]
    total = np.sum(shares, axis=1, keepdims=True) + (name == "log1p_sum_exp")
    np.testing.assert_allclose(gradient[:2], shares / total, rtol=1e-5)


@pytest.mark.parametrize("name", ["masked_max", "masked_min"])
def test_keeps_dimensions_if_asked(name):
    kept = getattr(ops, name)(X, MASK, keepdims=True)
    np.testing.assert_array_equal(
        kept, np.asarray(getattr(ops, name)(X, MASK))[:, None]
    )


def test_cross_entropies_agree_with_the_definition():
    generator = np.random.default_rng(0)
    pulls, pushes = generator.normal(size=(2, 5, 7)).astype("float32")
    kind = generator.integers(0, 3, size=(5, 7))
    kind[1][kind[1] == 1], kind[2][kind[2] == 2] = 0, 0
    expected = [
        sum(np.log1p(np.sum(np.exp(n[k == 2] - x))) for x in p[k == 1])
        for p, n, k in zip(pulls, pushes, kind, strict=True)
    ]
    values = ops.cross_entropies(pulls, pushes, kind == 1, kind == 2)
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    assert values[1] == values[2] == 0


def test_row_shares_of_a_mean_average_to_it():
    shares = ops.row_shares_of_mean(X, MASK)
    np.testing.assert_allclose(np.mean(shares), (0.5 - 2 + 1 + 0 - 1) / 5, rtol=1e-6)
    assert shares[2] == 0
    assert (np.asarray(ops.row_shares_of_mean(X, np.zeros_like(MASK))) == 0).all()
