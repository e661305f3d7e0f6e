import keras
import numpy as np
import pytest

from kerasdml import MetricModel
from kerasdml.losses import DynamicProxyNCA, ProxyNCA
from tests.conftest import value_and_gradient


def squared_distances(x, y, scales):
    x, y = (
        s * np.asarray(v, "float64") / np.linalg.norm(v, axis=1, keepdims=True)
        for s, v in zip(scales, (x, y), strict=True)
    )
    return np.sum((x[:, None] - y) ** 2, axis=2)


def formula(labels, x, proxies, include_positive, scales):
    """The paper's loss of each anchor, one positive at a time, in float64."""
    d = squared_distances(x, proxies, scales)
    nearest = d.argmin(axis=1)
    costs = []
    for i, label in enumerate(labels):
        same = [k for k in range(len(labels)) if labels[k] == label and k != i]
        own = {nearest[k] for k in same}
        others = {nearest[k] for k in range(len(labels)) if labels[k] != label} - own
        total = 0.0
        for k in same:
            p = nearest[k]
            terms = [np.exp(-d[i, m]) for m in others]
            terms += [np.exp(-d[i, p])] if include_positive else []
            total += d[i, p] + np.log(sum(terms)) if others else 0.0
        costs.append(total / max(len(same), 1))
    return costs


@pytest.mark.parametrize("include_positive", [True, False])
@pytest.mark.parametrize("scales", [(3.0, 3.0), (1.0, 2.0)])
@pytest.mark.parametrize("num_proxies", [2, 6, 40])
def test_agrees_with_the_formula(
    with_proxies, unbalanced, include_positive, scales, num_proxies
):
    labels, x = unbalanced
    proxies = np.random.default_rng(0).normal(size=(num_proxies, 4))
    loss = DynamicProxyNCA(
        num_proxies=num_proxies,
        include_positive=include_positive,
        embedding_scale=scales[0],
        proxy_scale=scales[1],
        reduction="none",
    )
    costs = with_proxies(loss, proxies)(labels, x)
    expected = formula(labels, x, proxies, include_positive, scales)
    np.testing.assert_allclose(costs, expected, rtol=1e-4, atol=1e-5)


def test_value_worked_by_hand(with_proxies, at_angles):
    # Proxies at 0, 90 and 180 degrees. The anchor at 10 has a positive at 80, for which
    # that at 90 stands, and negatives at 100, for which it stands too and which is
    # therefore dropped, and two at 170. With lengths 1: 2 - 2 cos 80 = 1.652704 less
    # the 2 + 2 cos 10 = 3.969616 of the one proxy that is left.
    loss = DynamicProxyNCA(
        num_proxies=3,
        include_positive=False,
        embedding_scale=1.0,
        proxy_scale=1.0,
        reduction="none",
    )
    loss = with_proxies(loss, at_angles(0, 90, 180))
    costs = loss(np.array([0, 0, 1, 2, 2]), at_angles(10, 80, 100, 170, 175))
    np.testing.assert_allclose(costs[0], 1.652704 - 3.969616, rtol=1e-5)
    # An example without positives.
    np.testing.assert_array_equal(costs[2], 0)


def test_with_a_proxy_at_each_class_it_is_proxy_nca(with_proxies, at_angles):
    proxies = at_angles(0, 120, 240)
    labels = np.array([0, 1, 2, 0, 1, 2])
    x = at_angles(10, 100, 250, -20, 130, 220)
    for include_positive in (True, False):
        static = ProxyNCA(num_classes=3, include_positive=include_positive)
        dynamic = DynamicProxyNCA(num_proxies=3, include_positive=include_positive)
        losses = [with_proxies(loss, proxies) for loss in (static, dynamic)]
        values = [
            value_and_gradient(lambda x, loss=loss: loss(labels, x), x)
            for loss in losses
        ]
        np.testing.assert_allclose(values[1][0], values[0][0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(values[1][1], values[0][1], rtol=1e-4, atol=1e-5)


def test_negatives_for_which_own_proxies_stand_cost_nothing(with_proxies, at_angles):
    loss = with_proxies(DynamicProxyNCA(num_proxies=2), at_angles(0, 180))
    x = at_angles(0, 10, 20, 30)
    value, gradient = value_and_gradient(lambda x: loss(np.array([0, 0, 1, 1]), x), x)
    assert value == 0 and (gradient == 0).all()


def test_trains_on_pairs_without_classes():
    # Two views of each of 64 things: 3 coordinates tell them apart, 6 are noise.
    generator = np.random.default_rng(0)
    things = np.repeat(generator.normal(size=(64, 3)), 2, axis=0)
    noise = generator.normal(size=(128, 9)) * ([0.1] * 3 + [1] * 6)
    x = (np.pad(things, ((0, 0), (0, 6))) + noise).astype("float32")
    pair = np.repeat(np.arange(64), 2) + 10**6
    keras.utils.set_random_seed(0)
    embedder = keras.Sequential([keras.Input((9,)), keras.layers.Dense(4)])
    model = MetricModel(embedder)
    model.compile(keras.optimizers.Adam(0.03), loss=DynamicProxyNCA(num_proxies=64))
    before = model.evaluate(x, pair, verbose=0, return_dict=True)["recall_at_10"]
    model.fit(x, pair, batch_size=64, shuffle=False, epochs=12, verbose=0)
    after = model.evaluate(x, pair, verbose=0, return_dict=True)["recall_at_10"]
    assert before < 0.3 and after > 0.6


@pytest.mark.parametrize("num_proxies", [1, 2.5])
def test_rejects_less_than_two_proxies(num_proxies):
    with pytest.raises(ValueError, match="at least 2. Received: num_proxies="):
        DynamicProxyNCA(num_proxies=num_proxies)


@pytest.mark.parametrize("name", ["embedding_scale", "proxy_scale"])
def test_rejects_a_scale_that_is_not_positive(name):
    with pytest.raises(ValueError, match=f"must be positive. Received: .*{name}=0"):
        DynamicProxyNCA(**{name: 0})
