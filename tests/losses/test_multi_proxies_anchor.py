import keras
import numpy as np
import pytest

from kerasdml.losses import MultiProxiesAnchor, ProxyAnchor
from tests.conftest import value_and_gradient

PROXIES = [(1, 0), (0.6, 0.8), (0, 1), (-1, 0)]
X = np.array([(1, 0), (0.6, 0.8), (0, 1)], "float32")
Y = np.array([0, 1, 1])

each_aggregation = pytest.mark.parametrize("aggregation", ["class", "data", "mixed"])


def unit(x):
    x = np.asarray(x, "float64")
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def formula(labels, x, proxies, alpha, margin, temperature):
    """Pulls and pushes by class and by example, in float64, of `proxies (c, k, d)`."""
    cosines = np.einsum("nd,ckd->nck", unit(x), unit(proxies))
    shares = np.exp(cosines / temperature)
    s = np.sum(shares * cosines, axis=2) / np.sum(shares, axis=2)
    own = labels[:, None] == np.arange(len(proxies))
    pulls = np.where(own, np.exp(-alpha * (s - margin)), 0)
    pushes = np.where(own, 0, np.exp(alpha * (s + margin)))
    pull_class = np.sum(np.log1p(pulls.sum(axis=0))) / np.any(own, axis=0).sum()
    push_class = np.mean(np.log1p(pushes.sum(axis=0)))
    pull_data = np.mean(np.log1p(pulls.sum(axis=1)))
    push_data = np.mean(np.log1p(pushes.sum(axis=1)))
    return {
        "class": pull_class + push_class,
        "data": pull_data + push_data,
        "mixed": pull_class + push_data,
    }


@each_aggregation
@pytest.mark.parametrize("labels", [[0, 0, 0, 2, 2, 3], [1] * 6, [4, 3, 2, 1, 0, 0]])
@pytest.mark.parametrize(
    "alpha, margin, temperature", [(32.0, 0.1, 0.1), (1.0, 0.0, 1.0)]
)
def test_agrees_with_the_formula(
    with_proxies, aggregation, labels, alpha, margin, temperature
):
    generator = np.random.default_rng(0)
    x, proxies = generator.normal(size=(6, 4)), generator.normal(size=(5, 3, 4))
    loss = MultiProxiesAnchor(
        num_classes=5,
        per_class=3,
        alpha=alpha,
        margin=margin,
        temperature=temperature,
        aggregation=aggregation,
    )
    loss = with_proxies(loss, proxies.reshape(-1, 4))
    value = loss(np.array(labels), x.astype("float32"))
    expected = formula(np.array(labels), x, proxies, alpha, margin, temperature)
    np.testing.assert_allclose(value, expected[aggregation], rtol=1e-5)


@pytest.mark.parametrize(
    "aggregation, expected",
    [
        # Similarities to the classes are 0.839475 and -0.268941 of the first example,
        # 0.839475 and 0.523057 of the second, 0.551980 and 0.731059 of the third.
        # Pulls log(1 + e^-0.839475) = 0.359057 and log(1 + e^-0.523057 + e^-0.731059),
        # a mean of 0.544279; pushes log(1 + e^0.839475 + e^0.551980) and
        # log(1 + e^-0.268941), a mean of 1.093721.
        ("class", 1.6380003),
        # 0.4058165 + 0.9243140
        ("data", 1.3301305),
        ("mixed", 0.5442789 + 0.9243140),
    ],
)
def test_values_worked_by_hand(with_proxies, aggregation, expected):
    loss = MultiProxiesAnchor(
        num_classes=2, alpha=1.0, margin=0.0, temperature=1.0, aggregation=aggregation
    )
    np.testing.assert_allclose(with_proxies(loss, PROXIES)(Y, X), expected, rtol=1e-6)


def test_value_with_the_defaults_worked_by_hand(with_proxies):
    # The pull is 1e-10. Push of class 0: both others are close to (0.6, 0.8).
    loss = with_proxies(MultiProxiesAnchor(num_classes=2), PROXIES)
    np.testing.assert_allclose(loss(Y, X), 19.1052029, rtol=1e-5)


def random_batch(seed, classes=5):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(9, 4)).astype("float32")
    return generator.integers(0, classes - 1, size=9), x, generator


@pytest.mark.parametrize("seed", range(3))
def test_one_proxy_a_class_is_proxy_anchor_to_the_bit(with_proxies, seed):
    labels, x, generator = random_batch(seed)
    proxies = generator.normal(size=(5, 4))
    single = with_proxies(ProxyAnchor(num_classes=5), proxies)
    loss = with_proxies(MultiProxiesAnchor(num_classes=5, per_class=1), proxies)
    expected, slopes = value_and_gradient(lambda x: single(labels, x), x)
    value, gradient = value_and_gradient(lambda x: loss(labels, x), x)
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("temperature", [0.01, 0.1, 10.0])
def test_equal_proxies_of_a_class_are_proxy_anchor(with_proxies, temperature):
    labels, x, generator = random_batch(0)
    proxies = generator.normal(size=(5, 4))
    expected = with_proxies(ProxyAnchor(num_classes=5), proxies)(labels, x)
    loss = MultiProxiesAnchor(num_classes=5, per_class=3, temperature=temperature)
    value = with_proxies(loss, np.repeat(proxies, 3, axis=0))(labels, x)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@each_aggregation
def test_orders_and_lengths_of_proxies_change_nothing(with_proxies, aggregation):
    def loss():
        return MultiProxiesAnchor(num_classes=2, aggregation=aggregation)

    expected = with_proxies(loss(), PROXIES)(Y, X)
    changed = np.array([[2], [5], [1], [0.1]]) * np.array(PROXIES)[[1, 0, 3, 2]]
    value = with_proxies(loss(), changed)(Y, 3 * X)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@each_aggregation
def test_examples_without_a_class_count_only_in_the_mean(with_proxies, aggregation):
    def value(labels, x):
        loss = MultiProxiesAnchor(num_classes=2, aggregation=aggregation)
        return float(with_proxies(loss, PROXIES)(labels, x))

    more = value(np.append(Y, -1), np.concatenate([X, X[:1]]))
    if aggregation == "class":
        np.testing.assert_allclose(more, value(Y, X), rtol=1e-6)
    if aggregation == "data":
        np.testing.assert_allclose(more, value(Y, X) * 3 / 4, rtol=1e-6)


@each_aggregation
def test_costs_of_examples_alone_can_be_weighted(with_proxies, aggregation):
    loss = MultiProxiesAnchor(num_classes=2, aggregation=aggregation)
    loss = with_proxies(loss, PROXIES)
    weights = np.ones(3, "float32")
    if aggregation == "data":
        np.testing.assert_allclose(loss(Y, X, weights), loss(Y, X))
    else:
        with pytest.raises(ValueError, match="`sample_weight` has no meaning"):
            loss(Y, X, weights)


def test_config_round_trip():
    loss = MultiProxiesAnchor(num_classes=3, per_class=4, aggregation="mixed")
    config = keras.saving.serialize_keras_object(loss)
    twin = keras.saving.deserialize_keras_object(config)
    assert twin.get_config() == loss.get_config()


@pytest.mark.parametrize(
    "bad, message",
    [
        (
            {"temperature": 0.0},
            "`temperature` must be positive. Received: temperature=",
        ),
        ({"aggregation": "row"}, "'class', 'data' and 'mixed'. Received: aggregation="),
        ({"per_class": 0}, "at least 1, .* Received: per_class=0"),
    ],
)
def test_rejects_what_is_out_of_range(bad, message):
    with pytest.raises(ValueError, match=message):
        MultiProxiesAnchor(num_classes=3, **bad)
