import keras
import numpy as np
import pytest

from kerasdml.losses import MultipleNegativesRanking, NPairs
from tests.conftest import value_and_gradient


def formula(anchors, positives, labels, temperature):
    """Cross entropy of finding each anchor's positive, in float64, on cosines."""
    a, p = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (anchors, positives))
    logits = a @ p.T / temperature
    costs = []
    for i, row in enumerate(logits):
        others = np.asarray(labels) != labels[i]
        costs.append(np.log(np.exp(row[i]) + np.exp(row[others]).sum()) - row[i])
    return np.mean(costs)


def random_pairs(count=5, dim=4):
    generator = np.random.default_rng(0)
    return generator.normal(size=(count, dim)), generator.normal(size=(count, dim))


def adjacent(anchors, positives):
    pairs = np.stack([anchors, positives], axis=1)
    return pairs.reshape(-1, anchors.shape[1]).astype("float32")


@pytest.mark.parametrize("labels", [[0, 1, 2, 3, 4], [4, 1, 4, 0, 4]])
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_agrees_with_the_formula(labels, temperature):
    a, p = random_pairs()
    loss = MultipleNegativesRanking(temperature=temperature)
    value = loss(np.repeat(labels, 2), adjacent(a, p))
    np.testing.assert_allclose(value, formula(a, p, labels, temperature), rtol=1e-5)


@pytest.mark.parametrize("labels", [[0, 1, 2, 3, 4], [4, 1, 4, 0, 4]])
def test_symmetric_is_the_mean_of_both_directions(labels):
    a, p = random_pairs()
    loss = MultipleNegativesRanking(symmetric=True)
    value = loss(np.repeat(labels, 2), adjacent(a, p))
    expected = (formula(a, p, labels, 0.05) + formula(p, a, labels, 0.05)) / 2
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    turned = loss(np.repeat(labels, 2), adjacent(p, a))
    np.testing.assert_allclose(turned, expected, rtol=1e-5)


def test_value_worked_by_hand():
    # Anchors and positives at 0 and 90 degrees: log(1 + e^-2) at temperature 1/2.
    corners = np.eye(2)
    loss = MultipleNegativesRanking(temperature=0.5)
    value = loss(np.array([0, 0, 1, 1]), adjacent(corners, corners))
    np.testing.assert_allclose(value, 0.1269280, rtol=1e-6)


def test_reads_pairs_by_class_wherever_they_stand():
    a, p = random_pairs()
    apart = np.concatenate([a, p]).astype("float32")
    value = MultipleNegativesRanking()(np.tile(np.arange(5), 2), apart)
    np.testing.assert_allclose(value, formula(a, p, range(5), 0.05), rtol=1e-5)


@pytest.mark.parametrize("symmetric", [False, True])
def test_an_example_without_a_partner_takes_no_part(symmetric):
    a, p = random_pairs()
    loss = MultipleNegativesRanking(symmetric=symmetric)
    batch = np.concatenate([a, p, 7 * a[:3]]).astype("float32")
    # The third of class 0, one alone in its class, and one without a class.
    labels = np.array([0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 5, -1])
    value, gradient = value_and_gradient(lambda x: loss(labels, x), batch)
    np.testing.assert_allclose(value, loss(labels[:10], batch[:10]), rtol=1e-6)
    assert (gradient[10:] == 0).all() and (gradient[:10] != 0).any()


def test_is_n_pairs_without_its_penalty_on_dot_products():
    labels, batch = np.repeat([4, 1, 4, 0, 4], 2), adjacent(*random_pairs())
    loss = MultipleNegativesRanking(temperature=1.0, similarity="dot")
    expected = NPairs(l2_weight=0.0)(labels, batch)
    np.testing.assert_allclose(loss(labels, batch), expected, rtol=1e-6)


def test_refuses_references_beyond_the_batch():
    with pytest.raises(ValueError, match="compares its references"):
        MultipleNegativesRanking(references=[keras.layers.Identity()])
