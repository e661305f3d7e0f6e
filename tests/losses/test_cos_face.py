import numpy as np
import pytest

from kerasdml.losses import CosFace
from tests.losses.margin_formulas import batch_and_proxies, margin_softmax, unit


@pytest.mark.parametrize("scale, margin", [(64.0, 0.35), (8.0, 1.0)])
@pytest.mark.parametrize("seed", range(2))
def test_agrees_with_the_formula(with_proxies, seed, scale, margin):
    labels, x, proxies = batch_and_proxies(seed)
    cosines = unit(x) @ unit(proxies).T
    expected = margin_softmax(
        cosines, labels, scale, lambda i, angle: np.cos(angle) - margin
    )
    loss = CosFace(num_classes=4, scale=scale, margin=margin, reduction="none")
    costs = with_proxies(loss, proxies)(labels, x)
    # Logits reach 64, so float32 leaves a few 1e-6 of them.
    np.testing.assert_allclose(costs, expected, rtol=1e-4, atol=1e-4)


def test_value_worked_by_hand(with_proxies):
    # At 60 degrees from its proxy and 30 from the other, with a margin of 1/4 and scale
    # 2: the logits are 2 (0.5 - 0.25) = 0.5 and 2 cos 30 = 1.732051, and the cost
    # log(1 + e^1.232051).
    x = np.array([[0.5, np.sqrt(0.75)]], "float32")
    loss = CosFace(num_classes=2, scale=2.0, margin=0.25)
    value = with_proxies(loss, np.eye(2))(np.array([0]), x)
    np.testing.assert_allclose(value, 1.488005, rtol=1e-6)


@pytest.mark.parametrize("bad", [{"scale": 0.0}, {"margin": -0.1}, {"margin": 2.5}])
def test_rejects_what_is_out_of_range(bad):
    with pytest.raises(ValueError, match=r"cosines in \[0, 2\]. Received: scale="):
        CosFace(num_classes=3, **bad)
