import numpy as np
import pytest

from kerasdml.losses import DynamicSoftMargin
from kerasdml.step import step
from tests.losses.conftest import cosines


def hardnesses(labels, embeddings):
    """How much farther each positive pair is than the closest negative of its ends."""
    d = np.sqrt(np.maximum(2 - 2 * cosines(embeddings), 0))
    return np.array(
        [
            d[i, j]
            - min(d[i, labels != labels[i]].min(), d[j, labels != labels[i]].min())
            for i in range(labels.size)
            for j in range(labels.size)
            if labels[i] == labels[j] and i != j
        ]
    )


def histogram(values, bins):
    nodes = np.linspace(-2, 2, bins + 1)
    pulse = np.maximum(0, 1 - np.abs(values[:, None] - nodes) * bins / 4)
    return pulse.sum(axis=0) / values.size


def formula(values, shares):
    places = np.floor((values + 2) * (shares.size - 1) / 4).astype(int)
    return np.mean(np.cumsum(shares)[places] * values)


def test_agrees_with_the_formula_over_two_steps_of_training(unbalanced):
    labels, first = unbalanced
    second = np.roll(first, 1, axis=1) + 0.3
    loss = DynamicSoftMargin(bins=16, rate=0.25)
    loss.build(4)
    shares = histogram(hardnesses(labels, first), 16)
    with step.of({}, training=True):
        value = loss(labels, first)
    np.testing.assert_allclose(
        value, formula(hardnesses(labels, first), shares), rtol=1e-4
    )
    shares = 0.75 * shares + 0.25 * histogram(hardnesses(labels, second), 16)
    with step.of({}, training=True):
        value = loss(labels, second)
    expected = formula(hardnesses(labels, second), shares)
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    np.testing.assert_allclose(loss.hardness.shares, shares, atol=1e-6)
    # Evaluation remembers nothing.
    np.testing.assert_allclose(loss(labels, second), expected, rtol=1e-4)
    np.testing.assert_allclose(loss.hardness.shares, shares, atol=1e-6)


def test_value_worked_by_hand(at_angles):
    # Positives 60 degrees apart, D = 1; from one the negative is at 180, D = 2, from
    # the other at 120, D = sqrt(3): t = 1 - sqrt(3) = -0.732. Untrained, two bins have
    # three equal shares at -2, 0 and 2, of which one is at or below t: t / 3.
    loss = DynamicSoftMargin(bins=2)
    loss.build(2)
    value = loss(np.array([0, 0, 1]), at_angles(0, 60, 180))
    np.testing.assert_allclose(value, -0.732051 / 3, rtol=1e-5)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"bins": 0}, "`bins` must be an integer of at least 1. Received: bins=0"),
        ({"rate": 0.0}, r"`rate` must be in \(0, 1\]. Received: rate=0"),
        ({"similarity": "dot"}, "`similarity` must be 'cosine'. Received: "),
        ({"average": "active"}, "`average` must be 'pairs' or 'anchors'"),
        ({"references": [object()]}, "compares its references with one another"),
    ],
)
def test_rejects(bad, message):
    with pytest.raises(ValueError, match=message):
        DynamicSoftMargin(**bad)
