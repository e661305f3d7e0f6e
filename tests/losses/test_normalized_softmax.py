import numpy as np
import pytest

from kerasdml.losses import ArcFace, CosFace, NormalizedSoftmax, ProxyNCA
from tests.losses.margin_formulas import batch_and_proxies, cross_entropy, unit


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_agrees_with_the_formula(with_proxies, seed, temperature):
    labels, x, proxies = batch_and_proxies(seed)
    expected = cross_entropy(unit(x) @ unit(proxies).T / temperature, labels)
    loss = NormalizedSoftmax(num_classes=4, temperature=temperature, reduction="none")
    costs = with_proxies(loss, proxies)(labels, x)
    np.testing.assert_allclose(costs, expected, rtol=1e-5, atol=1e-5)


def test_value_worked_by_hand(with_proxies):
    # At 60 degrees from its proxy and 30 from the other, at temperature 1/2: the logits
    # are 1 and 1.732051, and the cost log(1 + e^0.732051).
    x = np.array([[0.5, np.sqrt(0.75)]], "float32")
    loss = with_proxies(NormalizedSoftmax(num_classes=2, temperature=0.5), np.eye(2))
    np.testing.assert_allclose(loss(np.array([0]), x), 1.124715, rtol=1e-6)


def test_other_losses_without_their_margin_are_the_same(with_proxies):
    labels, x, proxies = batch_and_proxies(0)
    expected = with_proxies(NormalizedSoftmax(num_classes=4), proxies)(labels, x)
    for loss in (
        CosFace(num_classes=4, scale=20.0, margin=0.0),
        ArcFace(num_classes=4, scale=20.0, margin=0.0),
        ProxyNCA(num_classes=4, embedding_scale=2.0, proxy_scale=5.0),
    ):
        value = with_proxies(loss, proxies)(labels, x)
        np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_rejects_a_temperature_that_is_not_positive():
    with pytest.raises(ValueError, match="must be positive. Received: temperature=0"):
        NormalizedSoftmax(num_classes=3, temperature=0.0)
