import keras
import numpy as np
import pytest

from kerasdml.losses import ProxyAnchor


def unit(x):
    x = np.asarray(x, "float64")
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def formula(x, labels, proxies, alpha, margin):
    """The paper's loss, one proxy and one example at a time, in float64."""
    cosines = unit(x) @ unit(proxies).T
    pulls, pushes = [], []
    for k in range(len(proxies)):
        own = [c for c, y in zip(cosines[:, k], labels, strict=True) if y == k]
        other = [c for c, y in zip(cosines[:, k], labels, strict=True) if y != k]
        if own:
            pulls.append(np.log1p(sum(np.exp(-alpha * (c - margin)) for c in own)))
        pushes.append(np.log1p(sum(np.exp(alpha * (c + margin)) for c in other)))
    return np.mean(pulls) + np.mean(pushes)


@pytest.mark.parametrize("alpha, margin", [(32.0, 0.1), (1.0, 0.0), (4.0, 0.5)])
@pytest.mark.parametrize("labels", [[0, 0, 0, 2, 2, 5], [1, 1, 1, 1, 1, 1], range(6)])
def test_agrees_with_the_formula(with_proxies, labels, alpha, margin):
    generator = np.random.default_rng(0)
    x, proxies = generator.normal(size=(6, 4)), generator.normal(size=(6, 4))
    loss = ProxyAnchor(num_classes=6, alpha=alpha, margin=margin)
    value = with_proxies(loss, proxies)(np.array(labels), x.astype("float32"))
    expected = formula(x, labels, proxies, alpha, margin)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_values_of_two_classes_worked_by_hand(with_proxies):
    loss = with_proxies(ProxyAnchor(num_classes=2), np.eye(2))
    x = np.eye(2, dtype="float32")
    # Each at its own proxy: a pull of log(1 + e^(-32 * 0.9)), next to nothing, and a
    # push from the other proxy at cosine 0 of log(1 + e^3.2) = 3.239953.
    both = loss(np.array([0, 1]), x)
    np.testing.assert_allclose(both, 3.2399533332, rtol=1e-6)
    # One alone pushes the other class's proxy only: the mean over 2 is half as much.
    one = loss(np.array([0]), x[:1])
    np.testing.assert_allclose(one, 1.6199766666, rtol=1e-6)


@pytest.mark.parametrize(
    "arguments, expected",
    [({}, 23.0424334455), ({"alpha": 1.0, "margin": 0.0}, 1.8682602007)],
)
def test_values_of_three_classes_worked_by_hand(with_proxies, arguments, expected):
    loss = ProxyAnchor(num_classes=3, **arguments)
    x = np.array([(1, 0), (0, 1), (1, 1)], "float32")
    value = with_proxies(loss, [(1, 0), (0, 1), (-1, 0)])(np.array([0, 0, 1]), x)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_weights_worked_by_hand(pair_gradient):
    # Two of three classes are present, so a pull counts 1/2 and a push 1/3. Alone in
    # its class, an example weighs alpha h / (1 + h); pair_loss sums over 3 proxies.
    similarities = np.array([[0.3, 0.1, -0.2], [0.0, 0.2, 0.4]])
    positives = np.eye(3, dtype=bool)[:2]
    loss = ProxyAnchor(num_classes=3, alpha=2.0, margin=0.1)
    weights = pair_gradient(loss, similarities, positives, ~positives) / 3
    pull, push = np.exp(-2 * (0.3 - 0.1)), np.exp(2 * (0.4 + 0.1))
    np.testing.assert_allclose(weights[0, 0], -2 / 2 * pull / (1 + pull), rtol=1e-5)
    # Proxy 2 has two negatives, at 0.4 and -0.2.
    rest = np.exp(2 * (-0.2 + 0.1))
    expected = 2 / 3 * push / (1 + push + rest)
    np.testing.assert_allclose(weights[1, 2], expected, rtol=1e-5)


def test_a_class_that_is_absent_only_pushes(pair_gradient):
    similarities = np.array([[0.3, 0.1, -0.2], [0.0, 0.2, 0.4]], "float32")
    positives = np.eye(3, dtype=bool)[:2]
    loss = ProxyAnchor(num_classes=3, alpha=2.0, margin=0.1)
    costs = loss.pair_loss(similarities, positives, ~positives)
    # log(1 + e^(2 * -0.1) + e^(2 * 0.5))
    np.testing.assert_allclose(costs[2], 1.512269, rtol=1e-5)
    assert (pair_gradient(loss, similarities, positives, ~positives)[:, 2] > 0).all()


def test_a_batch_of_one_class_is_pulled_by_its_proxy_alone(with_proxies):
    # At the proxy: log(1 + 2 e^(-32 * 0.9)) = 6e-13. The other proxy, opposite, pushes
    # with log(1 + 2 e^(-32 * 0.9)) too.
    loss = with_proxies(ProxyAnchor(num_classes=2), [(1, 0), (-1, 0)])
    value = loss(np.array([0, 0]), np.array([(1, 0), (1, 0)], "float32"))
    np.testing.assert_allclose(value, 0.0, atol=1e-6)


def test_proxies_start_with_the_spread_of_the_authors_code():
    keras.utils.set_random_seed(0)
    loss = ProxyAnchor(num_classes=50)
    loss.build(64)
    points = keras.ops.convert_to_numpy(loss.proxies.points)
    np.testing.assert_allclose(np.std(points), (2 / 50) ** 0.5, rtol=0.05)


@pytest.mark.parametrize("bad", [{"alpha": 0.0}, {"margin": -0.1}])
def test_rejects_what_is_out_of_range(bad):
    message = "`alpha` must be positive and `margin` not negative. Received: alpha="
    with pytest.raises(ValueError, match=message):
        ProxyAnchor(num_classes=3, **bad)
