import keras
import numpy as np
import pytest

from kerasdml import MetricModel
from kerasdml.losses import StructuredGaussian, structured_gaussian
from kerasdml.step import step
from tests.conftest import value_and_gradient


def posteriors(point, means, sigma):
    exponents = [-np.sum((point - mean) ** 2) / (2 * sigma**2) for mean in means]
    exponents = np.exp(np.array(exponents) - np.max(exponents))
    return exponents / exponents.sum()


def formula(labels, embeddings, sigma=0.5, compactness=0.0):
    """The costs, one example and one class at a time, in float64."""
    x, classes = np.asarray(embeddings, float), sorted(set(labels))
    means = [x[labels == c].mean(axis=0) for c in classes]
    costs = []
    for label, point in zip(labels, x, strict=True):
        target = np.array([c == label for c in classes])
        cost = np.sum((posteriors(point, means, sigma) - target) ** 2)
        own = means[classes.index(label)]
        wide = np.mean((point - own) ** 2) / (2 * sigma**2)
        costs.append(cost + compactness * wide)
    return np.array(costs)


@pytest.mark.parametrize("changes", [{}, {"sigma": 2.0}, {"compactness": 0.1}])
def test_agrees_with_the_formula(unbalanced, changes):
    labels, embeddings = unbalanced
    costs = StructuredGaussian(reduction="none", **changes)(labels, embeddings)
    expected = formula(labels, embeddings, **changes)
    np.testing.assert_allclose(costs, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "points, labels, sigma, expected",
    [
        # Means 0 and 2: the own has the share 1 / (1 + e^-2) = 0.8807971, twice off by
        # 0.1192029.
        ([0, 2], [0, 1], 1.0, 0.0284187),
        ([0, 2], [0, 1], 0.5, 2.2492e-7),
        # Means 0.5 and 2.5: shares 0.9525741 of the outer and 0.7310586 of the inner.
        ([0, 1, 2, 3], [0, 0, 1, 1], 1.0, 0.0745787),
    ],
)
def test_values_worked_by_hand(points, labels, sigma, expected):
    embeddings = np.array(points, "float32")[:, None]
    value = StructuredGaussian(sigma=sigma)(np.array(labels), embeddings)
    np.testing.assert_allclose(value, expected, rtol=1e-4)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_one_point_is_of_any_class_alike(count):
    points = np.ones((count, 3), "float32")
    value = StructuredGaussian()(np.arange(count), points)
    np.testing.assert_allclose(value, 1 - 1 / count, rtol=1e-6)


def test_one_class_alone_costs_nothing():
    loss, e = StructuredGaussian(), np.eye(3, dtype="float32")
    value, gradient = value_and_gradient(lambda x: loss(np.zeros(3, int), x), e)
    assert value == 0 and (gradient == 0).all()


def test_examples_without_a_class_change_nothing():
    points = np.array([[0.0], [2.0], [1.0]], "float32")
    labels = np.array([0, 1, -1])
    costs = StructuredGaussian(sigma=1.0, reduction="none")(labels, points)
    np.testing.assert_allclose(costs, [0.0284187, 0.0284187, 0.0], rtol=1e-4)


def test_far_from_every_mean_there_is_still_a_gradient():
    # Exponents of -1800 and below, which vanish in any float but not in a softmax.
    labels = np.array([0, 0, 1, 1])
    points = np.array([[0.0], [60.0], [100.0], [160.0]], "float32")
    value = StructuredGaussian()(labels, points)
    np.testing.assert_allclose(value, 0.0, atol=1e-12)
    loss = StructuredGaussian()
    crossed = np.array([[0.0], [80.01], [0.0], [80.0]], "float32")
    _, gradient = value_and_gradient(lambda x: loss(labels, x), crossed)
    assert (gradient != 0).any()


def test_only_differences_in_units_of_sigma_matter(unbalanced):
    labels, embeddings = unbalanced
    expected = StructuredGaussian()(labels, embeddings)
    # There float32 has steps of 6e-5, which exponents multiply by about 20.
    moved = StructuredGaussian()(labels, embeddings + 1e3)
    np.testing.assert_allclose(moved, expected, rtol=1e-2)
    wider = StructuredGaussian(sigma=5.0)(labels, 10 * embeddings)
    np.testing.assert_allclose(wider, expected, rtol=1e-4)


@pytest.fixture
def mixing(monkeypatch):
    """A quarter of each example and three of its neighbour, in the step of a test."""
    order = np.array([1, 2, 3, 0])
    monkeypatch.setattr(
        structured_gaussian, "drawn_mixture", lambda *_: (0.25, order.astype("int32"))
    )
    with step.of({}, training=True):
        yield order


POINTS = np.array([[0.0], [1.0], [2.0], [4.0]], "float32")
CLASSES = np.array([0, 0, 1, 1])


def test_soft_mixtures_are_of_both_classes_by_their_shares(mixing):
    means = [[0.5], [3.0]]
    expected = formula(CLASSES, POINTS, sigma=1.0)
    for i, j in enumerate(mixing):
        target = 0.25 * np.eye(2)[CLASSES[i]] + 0.75 * np.eye(2)[CLASSES[j]]
        point = 0.25 * POINTS[i] + 0.75 * POINTS[j]
        expected[i] += np.sum((posteriors(point, means, 1.0) - target) ** 2)
    loss = StructuredGaussian(sigma=1.0, mixup="soft", reduction="none")
    loss.build(1)
    np.testing.assert_allclose(loss(CLASSES, POINTS), expected / 2, rtol=1e-5)


def test_zero_mixtures_are_of_a_class_if_both_are(mixing):
    # 0 and 1 give 0.75, of class 0; 2 and 4 give 3.5, of class 1; they count in the
    # means. 1 and 2, and 4 and 0, are of no class.
    means = np.array([[(0 + 1 + 0.75) / 3], [(2 + 4 + 3.5) / 3]])
    mixed = [(0.75, [1, 0]), (1.75, [0, 0]), (3.5, [0, 1]), (1.0, [0, 0])]
    expected = [
        sum(
            np.sum((posteriors(point, means, 1.0) - np.array(target)) ** 2)
            for point, target in [(x, np.eye(2)[c]), mixture]
        )
        for x, c, mixture in zip(POINTS, CLASSES, mixed, strict=True)
    ]
    loss = StructuredGaussian(sigma=1.0, mixup="zero", reduction="none")
    loss.build(1)
    np.testing.assert_allclose(loss(CLASSES, POINTS), np.divide(expected, 2), rtol=1e-5)


def test_mixtures_with_examples_without_a_class_cost_nothing(mixing):
    loss = StructuredGaussian(sigma=1.0, mixup="soft", reduction="none")
    loss.build(1)
    costs = loss(np.array([0, -1, -1, 1]), np.array([[0.0], [9], [9], [2]], "float32"))
    # The example that is mixed with the one of class 0, the last, is of class 1.
    assert costs[1] == costs[2] == 0
    np.testing.assert_allclose(costs[0], 0.0284187 / 2, rtol=1e-4)


def test_mixes_in_training_alone():
    plain, mixing = StructuredGaussian(), StructuredGaussian(mixup="soft", seed=0)
    mixing.build(1)
    assert mixing(CLASSES, POINTS) == plain(CLASSES, POINTS)
    with step.of({}, training=True):
        first, second = (float(mixing(CLASSES, POINTS)) for _ in range(2))
    assert first != second != float(plain(CLASSES, POINTS))


@pytest.mark.parametrize("alpha", [1, 2, 5])
def test_shares_have_a_beta_distribution(alpha):
    stream = keras.random.SeedGenerator(0)
    draws = [structured_gaussian.drawn_mixture(stream, alpha, 7) for _ in range(500)]
    shares = np.array([float(share) for share, _ in draws])
    # The standard deviation of their mean is 0.013 at most, of their variance 0.004.
    np.testing.assert_allclose(shares.mean(), 0.5, atol=0.05)
    np.testing.assert_allclose(shares.var(), 1 / (4 * (2 * alpha + 1)), atol=0.015)
    assert sorted(np.asarray(draws[0][1])) == list(range(7))


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="one backend's compiler suffices"
)
def test_mixes_in_a_step_that_xla_compiles():
    embedder = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    model = MetricModel(embedder)
    loss = StructuredGaussian(mixup="zero")
    model.compile("sgd", loss=loss, jit_compile=True)
    history = model.fit(POINTS, CLASSES, batch_size=4, verbose=0).history
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"sigma": 0.0}, "`sigma` must be positive and .* Received: sigma=0.0"),
        ({"compactness": -1.0}, "`compactness` not negative"),
        ({"mixup": "hard"}, "must be None, 'soft' or 'zero'. Received: mixup='hard'"),
        ({"mixup_alpha": 0.5}, "a whole number of at least 1. Received: mixup_alpha=0"),
    ],
)
def test_rejects_arguments_out_of_range(bad, message):
    with pytest.raises(ValueError, match=message):
        StructuredGaussian(**bad)
