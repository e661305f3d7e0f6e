import numpy as np
import pytest

from kerasdml.losses import Instance
from tests.losses.conftest import cosines


@pytest.mark.parametrize("scale", [64.0, 4.0])
def test_agrees_with_the_formula(unbalanced, scale):
    labels, x = unbalanced
    costs = []
    for label, row in zip(labels, cosines(x), strict=True):
        terms = np.exp(scale * row)  # the anchor itself is one of its instance
        costs.append(-np.log(np.sum(terms[labels == label]) / np.sum(terms)))
    loss = Instance(scale=scale, reduction="none")
    np.testing.assert_allclose(loss(labels, x), costs, rtol=1e-4, atol=1e-5)


def test_value_worked_by_hand(at_angles):
    # At 0, 60 and 90 degrees, the first two of one instance, at scale 2: the terms of
    # the first are e^2, e and 1, of the second e, e^2 and e^1.732051, of the third 1,
    # e^1.732051 and e^2. What the instance has of the sum is 0.909969, 0.641346 and
    # 0.526238, and the cost minus the log of it.
    loss = Instance(scale=2.0, reduction="none")
    costs = loss(np.array([5, 5, 7]), at_angles(0, 60, 90))
    np.testing.assert_allclose(costs, [0.094344, 0.444186, 0.642002], rtol=1e-5)


def test_rejects_a_scale_that_is_not_positive():
    with pytest.raises(ValueError, match="must be positive. Received: scale=0"):
        Instance(scale=0)


def test_rejects_another_similarity():
    with pytest.raises(ValueError, match="by cosine.*Received: similarity='dot'"):
        Instance(similarity="dot")
