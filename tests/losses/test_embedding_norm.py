import numpy as np
import pytest

from kerasdml.losses import EmbeddingNorm
from tests.conftest import value_and_gradient


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 4.0])
@pytest.mark.parametrize("power", [1.0, 2.0])
def test_agrees_with_the_formula(unbalanced, p, power):
    labels, embeddings = unbalanced
    sizes = np.abs(embeddings.astype(float))
    expected = [sum(x**p for x in row) ** (power / p) for row in sizes]
    loss = EmbeddingNorm(p=p, power=power, reduction="none")
    np.testing.assert_allclose(loss(labels, embeddings), expected, rtol=1e-5)


def test_values_worked_by_hand():
    labels, embeddings = np.arange(2), np.array([[3.0, -4.0], [0.0, 2.0]])
    # The lengths are 5 and 2; the sums of sizes 7 and 2.
    for loss, expected in [
        (EmbeddingNorm(), 3.5),
        (EmbeddingNorm(power=2.0), 14.5),
        (EmbeddingNorm(p=1.0), 4.5),
    ]:
        np.testing.assert_allclose(loss(labels, embeddings), expected, rtol=1e-6)


@pytest.mark.parametrize("power, pull", [(1.0, [0.3, -0.4]), (2.0, [3.0, -4.0])])
def test_the_power_decides_whether_the_pull_grows_with_the_length(power, pull):
    # Half the gradient of the norm, x / |x|, or of its square, 2 x.
    embeddings = np.array([[3.0, -4.0], [0.0, 0.0]], "float32")
    loss = EmbeddingNorm(power=power)
    _, gradient = value_and_gradient(lambda x: loss(np.arange(2), x), embeddings)
    np.testing.assert_allclose(gradient, [pull, [0.0, 0.0]], rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_high_norms_of_any_size_neither_vanish_nor_overflow(scale):
    embeddings = np.array([[scale, scale]], "float32")
    loss = EmbeddingNorm(p=8.0)
    value, gradient = value_and_gradient(
        lambda x: loss(np.zeros(1, int), x), embeddings
    )
    np.testing.assert_allclose(value, scale * 2 ** (1 / 8), rtol=1e-5)
    np.testing.assert_allclose(gradient, [[2 ** (-7 / 8)] * 2], rtol=1e-5)


@pytest.mark.parametrize("bad", [{"p": 0.5}, {"power": 0.5}, {"p": float("inf")}])
def test_rejects_what_is_no_norm(bad):
    with pytest.raises(ValueError, match="must be at least 1, and `p` finite. Rec.*p="):
        EmbeddingNorm(**bad)
