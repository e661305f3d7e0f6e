import keras
import numpy as np
import pytest

from kerasdml.losses import NormalizedSoftmax, SoftTriple

CENTERS = [(1, 0), (0.6, 0.8), (0, 1), (-1, 0)]
X = np.array([(1, 0), (0.6, 0.8), (0, 1)], "float32")
Y = np.array([0, 1, 1])


def unit(x):
    x = np.asarray(x, "float64")
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def softmax(x):
    return np.exp(x - x.max()) / np.sum(np.exp(x - x.max()))


def formula(labels, x, centers, scale, temperature, margin, tau):
    """The costs by the paper's formula, one by one; `centers` is `(c, k, d)`."""
    x, centers = unit(x), unit(centers)
    classes, k = centers.shape[:2]
    costs = []
    for example, label in zip(x, labels, strict=True):
        logits = np.zeros(classes)
        for c in range(classes):
            s = centers[c] @ example
            logits[c] = scale * (softmax(s / temperature) @ s - margin * (c == label))
        costs.append(-np.log(softmax(logits)[label]))
    apart = [
        np.sqrt(2 + 1e-5 - 2 * of_class[i] @ of_class[j])
        for of_class in centers
        for i in range(k)
        for j in range(i + 1, k)
    ]
    return np.array(costs) + tau * sum(apart) / max(classes * k * (k - 1), 1)


@pytest.mark.parametrize("per_class", [1, 2, 5])
@pytest.mark.parametrize(
    "scale, temperature, margin, tau", [(20, 0.1, 0.01, 0.2), (3, 1, 0.2, 0)]
)
def test_agrees_with_the_formula(
    with_proxies, per_class, scale, temperature, margin, tau
):
    generator = np.random.default_rng(per_class)
    x = generator.normal(size=(9, 4)).astype("float32")
    labels = generator.integers(0, 3, size=9)
    centers = generator.normal(size=(3, per_class, 4))
    arguments = {
        "scale": scale,
        "temperature": temperature,
        "margin": margin,
        "tau": tau,
    }
    loss = SoftTriple(num_classes=3, per_class=per_class, reduction="none", **arguments)
    costs = with_proxies(loss, centers.reshape(-1, 4))(labels, x)
    expected = formula(labels, x, centers, **arguments)
    np.testing.assert_allclose(costs, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "arguments, expected",
    [
        # Similarities to the two classes are 0.992806 and 0 of the first example,
        # 0.992806 and 0.799999 of the second and 0.799732 and 0.999955 of the third:
        # a cross-entropy of 1.365109. Centers of class 0 are sqrt(0.8) apart, of class
        # 1 sqrt(2): 0.2 times a quarter of their sum, 0.577163.
        ({}, 1.4805419),
        ({"tau": 0.0}, 1.3651094),
        ({"tau": 0.0, "scale": 1.0, "temperature": 1.0, "margin": 0.0}, 0.5855567),
    ],
)
def test_values_worked_by_hand(with_proxies, arguments, expected):
    loss = SoftTriple(num_classes=2, per_class=2, **arguments)
    np.testing.assert_allclose(with_proxies(loss, CENTERS)(Y, X), expected, rtol=1e-5)


def test_one_center_a_class_is_a_softmax_over_proxies(with_proxies):
    loss = SoftTriple(num_classes=4, per_class=1, margin=0.0)
    softmax = NormalizedSoftmax(num_classes=4, temperature=1 / 20)
    values = [with_proxies(x, CENTERS)(Y, X) for x in (loss, softmax)]
    np.testing.assert_allclose(*values, rtol=1e-5)


def test_weights_of_centers_worked_by_hand(pair_gradient):
    # Two centers of the own class at cosines 0.9 and 0.1 and one class elsewhere, far
    # away. At a temperature of 0.2 their shares are q = 0.982014 and 0.017986 and S is
    # 0.885611. The derivative q (1 + (s - S) / 0.2) of S is 1.052663 and -0.052663: the
    # far one is pushed away.
    loss = SoftTriple(num_classes=2, per_class=2, scale=1.0, temperature=0.2)
    s = np.array([[0.9, 0.1, -0.9, -0.9]])
    positives = np.array([[True, True, False, False]])
    gradient = pair_gradient(loss, s, positives, ~positives)[0]
    np.testing.assert_allclose(
        gradient[1] / gradient[0], -0.052663 / 1.052663, rtol=1e-3
    )
    assert gradient[0] < 0 < gradient[1]
    np.testing.assert_allclose(gradient[2:], -gradient[:2].sum() / 2, rtol=1e-4)


def test_orders_and_lengths_of_centers_change_nothing(with_proxies):
    expected = with_proxies(SoftTriple(num_classes=2, per_class=2), CENTERS)(Y, X)
    changed = np.array([[2], [5], [1], [0.1]]) * np.array(CENTERS)[[1, 0, 3, 2]]
    value = with_proxies(SoftTriple(num_classes=2, per_class=2), changed)(Y, 3 * X)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_centers_start_with_the_spread_of_the_authors_code():
    keras.utils.set_random_seed(0)
    loss = SoftTriple(num_classes=20, per_class=5)
    loss.build(64)
    points = keras.ops.convert_to_numpy(loss.proxies.points)
    assert points.shape == (100, 64)
    np.testing.assert_allclose([points.min(), points.max()], [-0.1, 0.1], rtol=0.01)


@pytest.mark.parametrize(
    "bad", [{"scale": 0.0}, {"temperature": 0.0}, {"margin": -0.1}, {"tau": -1.0}]
)
def test_rejects_what_is_out_of_range(bad):
    ((name, value),) = bad.items()
    with pytest.raises(ValueError, match=f"negative. Received: .*{name}={value}"):
        SoftTriple(num_classes=3, **bad)


def test_rejects_less_than_one_center():
    with pytest.raises(ValueError, match="at least 1, .* Received: per_class=0"):
        SoftTriple(num_classes=3, per_class=0)
