import numpy as np
import pytest

from kerasdml.losses import P2SGrad
from tests.losses.margin_formulas import batch_and_proxies, unit


@pytest.mark.parametrize("seed", range(2))
def test_agrees_with_the_formula(with_proxies, seed):
    labels, x, proxies = batch_and_proxies(seed)
    cosines = unit(x) @ unit(proxies).T
    expected = [
        sum((c - (k == y)) ** 2 for k, c in enumerate(row)) / 2
        for y, row in zip(labels, cosines, strict=True)
    ]
    loss = with_proxies(P2SGrad(num_classes=4, reduction="none"), proxies)
    np.testing.assert_allclose(loss(labels, x), expected, rtol=1e-5)


def test_value_worked_by_hand(with_proxies):
    # Cosines 0.6 to its proxy and 0.8 to the other: (0.4^2 + 0.8^2) / 2 = 0.4. Without
    # a class there is no cost, and their mean is 0.2.
    x = np.array([[3.0, 4.0], [1.0, 1.0]], "float32")
    loss = with_proxies(P2SGrad(num_classes=2), np.eye(2))
    np.testing.assert_allclose(loss(np.array([0, -1]), x), 0.2, rtol=1e-6)


def test_the_pair_weight_is_the_error_of_the_cosine(one_anchor, pair_gradient):
    pairs = one_anchor([0.3], [0.9, -0.2])
    gradient = pair_gradient(P2SGrad(num_classes=3), *pairs)
    np.testing.assert_allclose(gradient, [[-0.7, 0.9, -0.2]], rtol=1e-6)
