import numpy as np
import pytest

from kerasdml.losses import NormalizedSoftmax, SphereFace
from tests.losses.margin_formulas import batch_and_proxies, cross_entropy, unit


def psi(angle, margin):
    """The paper's, by the interval that the angle is in."""
    k = next(k for k in range(99) if angle * margin <= (k + 1) * np.pi + 1e-9)
    return (-1) ** k * np.cos(margin * angle) - 2 * k


@pytest.mark.parametrize("scale, margin", [(30.0, 1.5), (8.0, 4), (None, 4)])
@pytest.mark.parametrize("seed", range(2))
def test_agrees_with_the_formula(with_proxies, seed, scale, margin):
    labels, x, proxies = batch_and_proxies(seed)
    x *= 3.0
    logits = unit(x) @ unit(proxies).T
    for i, y in enumerate(labels):
        logits[i, y] = psi(np.arccos(logits[i, y]), margin)
        logits[i] *= scale or np.linalg.norm(x[i])
    loss = SphereFace(num_classes=4, scale=scale, margin=margin, reduction="none")
    costs = with_proxies(loss, proxies)(labels, x)
    expected = cross_entropy(logits, labels)
    np.testing.assert_allclose(costs, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "scale, value",
    [
        # At 60 degrees from its proxy and 30 from the other, with a margin of 4: 240
        # degrees are beyond 180, so psi = -cos 240 - 2 = -1.5. At scale 2 the logits
        # are -3 and 2 cos 30 = 1.732051: log(1 + e^4.732051).
        (2.0, 4.740821),
        # By the length of the embedding, 1: -1.5 and 0.866025: log(1 + e^2.366025).
        (None, 2.455732),
    ],
)
def test_values_worked_by_hand(with_proxies, scale, value):
    x = np.array([[0.5, np.sqrt(0.75)]], "float32")
    loss = with_proxies(SphereFace(num_classes=2, scale=scale, margin=4), np.eye(2))
    np.testing.assert_allclose(loss(np.array([0]), x), value, rtol=1e-5)


def test_without_margin_it_is_normalized_softmax(with_proxies):
    labels, x, proxies = batch_and_proxies(0)
    loss = SphereFace(num_classes=4, scale=20.0, margin=1)
    value = with_proxies(loss, proxies)(labels, x)
    expected = with_proxies(NormalizedSoftmax(num_classes=4), proxies)(labels, x)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize("cosine", [-0.99, -0.4, 0.0, 0.5, 0.99])
def test_pulls_a_positive_from_anywhere(one_anchor, pair_gradient, cosine):
    loss = SphereFace(num_classes=2, scale=1.0)
    gradient = pair_gradient(loss, *one_anchor([cosine], [0.1]))
    angle = np.arccos(cosine)
    steepness = 1.5 * abs(np.sin(1.5 * angle)) / np.sin(angle)
    share = np.exp(0.1) / (np.exp(0.1) + np.exp(psi(angle, 1.5)))
    np.testing.assert_allclose(gradient, [[-share * steepness, share]], rtol=1e-3)


@pytest.mark.parametrize("bad", [{"scale": 0.0}, {"margin": 0.5}])
def test_rejects_what_is_out_of_range(bad):
    with pytest.raises(ValueError, match="of at least 1. Received: scale="):
        SphereFace(num_classes=3, **bad)
