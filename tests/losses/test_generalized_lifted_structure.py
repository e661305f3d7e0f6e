import numpy as np
import pytest

from kerasdml.losses import GeneralizedLiftedStructure
from tests.conftest import value_and_gradient
from tests.losses.conftest import distances, masks


def formula(d, positives, negatives, margin):
    """The paper's loss, one anchor at a time, in float64."""
    costs = []
    for row, pos, neg in zip(d, positives, negatives, strict=True):
        pull, push = np.sum(np.exp(row[pos])), np.sum(np.exp(margin - row[neg]))
        cost = np.log(pull) + np.log(push) if pos.any() and neg.any() else 0.0
        costs.append(max(cost, 0.0))
    return costs


@pytest.mark.parametrize("margin", [1.0, 0.2, 3.0])
def test_agrees_with_the_formula(unbalanced, margin):
    labels, embeddings = unbalanced
    value = GeneralizedLiftedStructure(margin=margin)(labels, embeddings)
    expected = np.mean(formula(distances(embeddings), *masks(labels), margin))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "embeddings, labels, expected",
    [
        # The positive at 1 and negatives at 3 and sqrt(10): 1 + log(e^-2 + e^-2.162)
        # = -0.384704 < 0.
        ([(0, 0), (0, 1), (3, 0), (3, 1)], [0, 0, 1, 1], [0.0, 0.0, 0.0, 0.0]),
        # The first: the positive at 1, negatives at 2, 2.828 and 4.243, so that
        # 1 + log(e^-1 + e^-1.828 + e^-3.243) = 0.433672. The last has no positive.
        (
            [(0, 0), (1, 0), (0, 2), (2, 2), (3, 3)],
            [0, 0, 1, 1, 2],
            [0.43367247, 0.57674415, 1.74312710, 2.10620534, 0.0],
        ),
    ],
)
def test_costs_worked_by_hand(embeddings, labels, expected):
    batch = np.array(labels), np.array(embeddings, "float32")
    costs = GeneralizedLiftedStructure(reduction="none")(*batch)
    np.testing.assert_allclose(costs, expected, rtol=2e-6)
    if any(expected):
        mean = GeneralizedLiftedStructure(average="active")(*batch)
        np.testing.assert_allclose(mean, 1.2149372637, rtol=2e-6)


def test_weights_worked_by_hand(one_anchor, pair_gradient):
    # Shares of e^-0.3 and e^-0.6, and of e^0.45, e^0.55 and e^0.2.
    loss = GeneralizedLiftedStructure(margin=0.5)
    pairs = one_anchor([0.3, 0.6], [0.45, 0.55, 0.2])
    np.testing.assert_allclose(loss.pair_loss(*pairs), [2.2635237], rtol=1e-6)
    expected = [[-0.5744425, -0.4255575, 0.3467440, 0.3832114, 0.2700445]]
    np.testing.assert_allclose(pair_gradient(loss, *pairs), expected, rtol=1e-6)


def test_a_class_far_away_costs_exactly_nothing():
    labels = np.array([0, 0, 1, 1])
    embeddings = np.array([(0, 0), (0, 1), (10, 0), (10, 1)], "float32")
    loss = GeneralizedLiftedStructure()
    value, gradient = value_and_gradient(lambda x: loss(labels, x), embeddings)
    assert value == 0 and (gradient == 0).all()
