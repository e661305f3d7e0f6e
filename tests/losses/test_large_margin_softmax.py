import numpy as np
import pytest

from kerasdml.losses import LargeMarginSoftmax, SphereFace
from tests.losses.margin_formulas import batch_and_proxies, cross_entropy


@pytest.mark.parametrize("margin", [2, 3, 4])
@pytest.mark.parametrize("seed", range(2))
def test_agrees_with_the_formula(with_proxies, seed, margin):
    labels, x, proxies = batch_and_proxies(seed)
    logits = x.astype("float64") @ proxies.T
    for i, y in enumerate(labels):
        lengths = np.linalg.norm(x[i]) * np.linalg.norm(proxies[y])
        angle = np.arccos(logits[i, y] / lengths)
        k = int(margin * angle / np.pi)
        logits[i, y] = lengths * ((-1) ** k * np.cos(margin * angle) - 2 * k)
    loss = LargeMarginSoftmax(num_classes=4, margin=margin, reduction="none")
    costs = with_proxies(loss, proxies)(labels, x)
    np.testing.assert_allclose(costs, cross_entropy(logits, labels), rtol=1e-4)


def test_value_worked_by_hand(with_proxies):
    # Of length 2, at 60 degrees from its proxy, of length 3, and 30 from the other, of
    # length 1, with a margin of 2: the logits are 6 cos 120 = -3 and 2 cos 30:
    # log(1 + e^4.732051).
    x = np.array([[1.0, np.sqrt(3.0)]], "float32")
    loss = LargeMarginSoftmax(num_classes=2, margin=2)
    value = with_proxies(loss, [[3.0, 0.0], [0.0, 1.0]])(np.array([0]), x)
    np.testing.assert_allclose(value, 4.740821, rtol=1e-5)


def test_without_margin_it_is_softmax(with_proxies):
    labels, x, proxies = batch_and_proxies(0)
    loss = LargeMarginSoftmax(num_classes=4, margin=1, reduction="none")
    costs = with_proxies(loss, proxies)(labels, x)
    expected = cross_entropy(x.astype("float64") @ proxies.T, labels)
    np.testing.assert_allclose(costs, expected, rtol=1e-4, atol=1e-6)


def test_with_proxies_of_length_1_it_is_sphere_face(with_proxies):
    labels, x, proxies = batch_and_proxies(0)
    proxies /= np.linalg.norm(proxies, axis=1, keepdims=True)
    value = with_proxies(LargeMarginSoftmax(num_classes=4), proxies)(labels, x)
    loss = SphereFace(num_classes=4, scale=None, margin=4)
    expected = with_proxies(loss, proxies)(labels, x)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize("margin", [0, 1.5])
def test_rejects_a_margin_that_is_no_whole_number(margin):
    with pytest.raises(ValueError, match="whole number.*Received: margin="):
        LargeMarginSoftmax(num_classes=3, margin=margin)
