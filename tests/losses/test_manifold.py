import numpy as np
import pytest

from kerasdml.losses import Manifold
from tests.losses.margin_formulas import batch_and_proxies, unit


def formula(x, labels, proxies, persistence, margin):
    """Both costs of each example, the walks summed step by step, in float64."""
    nodes = unit(np.concatenate([x, proxies]))
    weights = np.exp(np.maximum(nodes @ nodes.T, 0) / 0.5)
    np.fill_diagonal(weights, 0)
    sums = weights.sum(axis=1)
    weights = weights / np.sqrt(sums[:, None] * sums)
    walks = step = np.eye(len(nodes))
    for _ in range(400):
        step = persistence * step @ weights
        walks = walks + step
    walks, n = (1 - persistence) * walks, len(x)
    rows = unit(walks)
    costs = []
    for similarities in (walks[:n, n:], rows[:n] @ rows[n:].T):
        for s, y in zip(similarities, labels, strict=True):
            excess = [s[k] - s[y] + margin for k in range(len(s)) if k != y]
            costs.append(np.log(1 + sum(np.exp(v) for v in excess if v >= 0)))
    return np.array(costs[:n]), np.array(costs[n:])


@pytest.mark.parametrize("persistence, margin", [(0.8, 5e-4), (0.95, 0.02)])
@pytest.mark.parametrize("seed", range(2))
def test_agrees_with_the_formula(seed, persistence, margin):
    labels, x, proxies = batch_and_proxies(seed)
    shares, contexts = formula(x, labels, proxies, persistence, margin)
    for weights in ((1.0, 1.0), (0.0, 1.0), (0.5, 0.0)):
        loss = Manifold(
            num_classes=4,
            persistence=persistence,
            margin=margin,
            share_weight=weights[0],
            context_weight=weights[1],
            reduction="none",
        )
        loss.build(2)
        loss.proxies.points.assign(proxies)
        expected = weights[0] * shares + weights[1] * contexts
        np.testing.assert_allclose(loss(labels, x), expected, rtol=1e-4, atol=1e-5)


def test_examples_without_a_class_are_no_nodes():
    labels, x, proxies = batch_and_proxies(0)
    loss = Manifold(num_classes=4, reduction="none")
    loss.build(2)
    expected = loss(labels[:10], x[:10])
    costs = loss(np.where(np.arange(24) < 10, labels, -1), x)
    np.testing.assert_allclose(costs[:10], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(costs[10:], np.zeros(14))


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"persistence": 1.0}, r"in \(0, 1\).*Received: persistence=1.0"),
        ({"margin": -1.0}, "`margin` not negative"),
        ({"temperature": 0.0}, "`temperature` positive"),
        ({"share_weight": -1.0}, "must not be negative. Received: share_weight=-1.0"),
        ({"context_weight": -1.0}, "must not be negative"),
        ({"num_classes": 5000}, "together, at most 4096. Received: 5000"),
    ],
)
def test_rejects_what_is_out_of_range(bad, message):
    with pytest.raises(ValueError, match=message):
        Manifold(**{"num_classes": 3, **bad})


def test_rejects_a_batch_that_is_too_large():
    loss = Manifold(num_classes=4000)
    loss.build(2)
    with pytest.raises(ValueError, match="at most 4096. Received: 4100"):
        loss(np.zeros(100, int), np.ones((100, 2), "float32"))
