import numpy as np
import pytest

from kerasdml.losses import SmoothAP
from tests.losses.conftest import cosines, masks


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def formula(similarities, positives, negatives, temperature):
    """One minus the smooth average precision of each anchor, rank by rank."""
    costs = []
    for s, positive, negative in zip(similarities, positives, negatives, strict=True):
        precisions = []
        for p in np.flatnonzero(positive):
            closer = sigmoid((s - s[p]) / temperature)
            closer[p] = 0
            among = 1 + closer[positive].sum()
            precisions.append(among / (among + closer[negative].sum()))
        costs.append(1 - np.mean(precisions) if precisions else 0.0)
    return np.array(costs)


@pytest.mark.parametrize("temperature", [0.01, 0.2])
def test_agrees_with_the_formula(any_pairs, temperature):
    s, positives, negatives = any_pairs
    costs = formula(s.astype("float64"), positives, negatives, temperature)
    loss = SmoothAP(temperature=temperature)
    np.testing.assert_allclose(loss.pair_loss(*any_pairs), costs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("include_anchor", [False, True])
def test_agrees_with_the_formula_from_embeddings(unbalanced, include_anchor):
    labels, embeddings = unbalanced
    positives, negatives = masks(labels)
    if include_anchor:
        alone = ~positives.any(axis=1, keepdims=True)
        positives = positives | np.eye(labels.size, dtype=bool) & ~alone
    costs = formula(cosines(embeddings), positives, negatives, 0.1)
    loss = SmoothAP(temperature=0.1, include_anchor=include_anchor)
    np.testing.assert_allclose(loss(labels, embeddings), costs.mean(), rtol=1e-5)


def test_value_worked_by_hand(one_anchor):
    # Far apart for the temperature, so that ranks are whole: the list is N P N P, the
    # precisions 1/2 and 2/4, and their mean 1/2.
    pairs = one_anchor([0.6, 0.2], [0.8, 0.4])
    loss = SmoothAP(temperature=0.001)
    np.testing.assert_allclose(loss.pair_loss(*pairs), [0.5], rtol=1e-6)
    # A negative as close as the only positive counts half: 1 - 1 / 1.5.
    pairs = one_anchor([0.5], [0.5])
    np.testing.assert_allclose(loss.pair_loss(*pairs), [1 / 3], rtol=1e-6)


def test_without_negatives_the_precision_is_perfect(one_anchor):
    np.testing.assert_array_equal(SmoothAP().pair_loss(*one_anchor([0.3, 0.1], [])), 0)


def test_rejects_a_temperature_that_is_not_positive():
    with pytest.raises(ValueError, match="`temperature` must be positive. Received: "):
        SmoothAP(temperature=0.0)
