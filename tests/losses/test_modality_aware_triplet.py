import keras
import numpy as np
import pytest

from kerasdml import MetricModel
from kerasdml.losses import ModalityAwareTriplet
from kerasdml.step import step
from tests.conftest import value_and_gradient
from tests.losses.conftest import distances

ANGLES = [0, 20, 50, 60, 90, 100, 150, 130]
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])
MODALITY = np.array([0, 0, 1, 1, 0, 0, 1, 1])


def value(loss, labels, embeddings, modality):
    with step.of({"modality": np.asarray(modality)}, training=True):
        return loss(np.asarray(labels), embeddings)


def formula(labels, embeddings, modality, margin, beta, floor):
    """Costs of hinges, weights, and costs of smooth hinges, `(3, q)`, in float64."""
    far = distances(embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True))
    hinges, smooth, slopes = np.zeros((3, 3, len(labels)))
    for k, (positive, negative) in enumerate([(1, 1), (0, 1), (0, 0)]):
        for i in range(len(labels)):
            others = [j for j in range(len(labels)) if j != i]
            p = [
                far[i, j]
                for j in others
                if labels[j] == labels[i] and (modality[j] == modality[i]) == positive
            ]
            n = [
                far[i, j]
                for j in others
                if labels[j] != labels[i] and (modality[j] == modality[i]) == negative
            ]
            if p and n:
                t = max(p) - min(n) + margin
                hinges[k, i] = max(t, 0)
                smooth[k, i] = np.log1p(np.exp(beta * t)) / beta
                slopes[k, i] = 1 / (1 + np.exp(-beta * t))
    active = slopes.mean(axis=1)
    return hinges, active.mean() / np.maximum(active, floor), smooth


@pytest.mark.parametrize("margin, beta, floor", [(0.2, 20, 0.1), (0.5, 3, 0.6)])
def test_agrees_with_the_formula(unbalanced, margin, beta, floor):
    labels, embeddings = unbalanced
    modality = np.arange(13) % 3 % 2
    hinges, weights, smooth = formula(labels, embeddings, modality, margin, beta, floor)
    expected = {
        None: hinges.mean(),
        "per_component": np.mean(weights[:, None] * smooth),
        "published": np.sum(weights) * smooth.mean(),
    }
    for weighting, mean in expected.items():
        loss = ModalityAwareTriplet(
            margin=margin, beta=beta, floor=floor, weighting=weighting
        )
        found = value(loss, labels, embeddings, modality)
        np.testing.assert_allclose(found, mean, rtol=1e-5)


@pytest.mark.parametrize(
    "arguments, expected",
    [
        # Chords 2 sin(angle / 2). Across, the anchor at 0 has its farthest positive at
        # 60 degrees, 1, and its closest negative at 130, 1.812616: no violation. Those
        # of all eight are 0, 0, 0.361198, 0.682362, twice: 0.260890 in the mean.
        ({"components": ["cross"], "weighting": None}, 0.2608901),
        ({"components": ["hybrid"], "weighting": None}, 0.0132118),
        ({"components": ["within"], "weighting": None}, 0.0),
        ({"weighting": None}, 0.0913671),
        # Smooth hinges are 8.0e-8, 0.0172776 and 0.2608987 in the mean, their slopes
        # 1.6e-6, 0.1922417 and 0.4998189, of which the mean is 0.2306874. So weights
        # are 2.306874 (over the floor), 1.199986 and 0.461542: the mean of the products
        # is 0.1411495 / 3, and 3.968402 * 0.0927254 as published.
        ({}, 0.0470498),
        ({"weighting": "published"}, 0.3679719),
    ],
)
def test_values_worked_by_hand(at_angles, arguments, expected):
    loss = ModalityAwareTriplet(**arguments)
    found = value(loss, LABELS, at_angles(*ANGLES), MODALITY)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)
    swapped = value(loss, LABELS, at_angles(*ANGLES), 1 - MODALITY)
    np.testing.assert_allclose(swapped, found, rtol=1e-6)


@pytest.mark.parametrize(
    "component, expected", [("within", 0.0), ("hybrid", 0.05), ("cross", 0.444734)]
)
def test_one_of_each_class_and_modality(at_angles, component, expected):
    # At 0 and 60 degrees class 0 and at 90 and 180 class 1, in modalities 0, 1, 0, 1.
    # Within a modality there are no positives. Positives are at a distance of 1 (60
    # degrees) and sqrt(2) (90): negatives of the anchor's modality at sqrt(2) and, from
    # 60 to 180, at sqrt(3): sqrt(2) - sqrt(2) + 0.2 once, over 4 anchors.
    loss = ModalityAwareTriplet(components=[component], weighting=None)
    found = value(loss, [0, 0, 1, 1], at_angles(0, 60, 90, 180), [0, 1, 0, 1])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weighting", ["per_component", "published", None])
def test_one_class_costs_nothing(at_angles, weighting):
    loss = ModalityAwareTriplet(weighting=weighting)
    cost, slopes = value_and_gradient(
        lambda x: value(loss, np.zeros(8, int), x, MODALITY), at_angles(*ANGLES)
    )
    assert cost == 0 and (slopes == 0).all()


def test_ignores_the_order_of_the_batch(unbalanced):
    labels, x = unbalanced
    modality, order = np.arange(13) % 2, np.random.default_rng(1).permutation(13)
    expected = value(ModalityAwareTriplet(), labels, x, modality)
    found = value(ModalityAwareTriplet(), labels[order], x[order], modality[order])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_weights_have_no_gradient(at_angles):
    # The gradient is that of the smooth hinges, each times its weight.
    x, total = at_angles(*ANGLES), 0
    weights = [2.306874, 1.199986, 0.461542]
    for component, weight in zip(["within", "hybrid", "cross"], weights, strict=True):
        single = ModalityAwareTriplet(components=[component], floor=1e-12)
        # Of a single component the weight is 1.
        _, slopes = value_and_gradient(
            lambda x, loss=single: value(loss, LABELS, x, MODALITY), x
        )
        total = total + weight * slopes / 3
    _, slopes = value_and_gradient(
        lambda x: value(ModalityAwareTriplet(), LABELS, x, MODALITY), x
    )
    np.testing.assert_allclose(slopes, total, rtol=1e-4, atol=1e-6)


def test_the_field_comes_from_the_data():
    embedder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model = MetricModel(embedder)
    model.compile("sgd", loss=ModalityAwareTriplet())
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    with pytest.raises(ValueError, match=r"needs the fields \['modality'\]"):
        model.fit(x, LABELS, verbose=0)
    y = {"label": LABELS, "modality": MODALITY[:, None]}
    assert model.fit(x, y, verbose=0).history["loss"][0] > 0
    embedder.compile("sgd", loss=ModalityAwareTriplet())
    with pytest.raises(ValueError, match="needs the field 'modality': train with"):
        embedder.fit(x, LABELS, verbose=0)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"components": []}, "must be one or more of 'within', 'hybrid' and 'cross'"),
        ({"components": ["mixed"]}, r"Received: components=\['mixed'\]"),
        ({"weighting": "all"}, "must be 'per_component', 'published' or None"),
        ({"margin": -0.1}, "`margin` must not be negative.*margin=-0.1"),
        ({"beta": 0.0}, "must be positive.*beta=0.0"),
        ({"floor": 0.0}, "must be positive.*floor=0.0"),
    ],
)
def test_rejects_what_is_out_of_range(bad, message):
    with pytest.raises(ValueError, match=message):
        ModalityAwareTriplet(**bad)
