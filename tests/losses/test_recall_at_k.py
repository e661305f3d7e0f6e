import numpy as np
import pytest

from kerasdml.losses import RecallAtK
from tests.losses.conftest import cosines, masks


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def formula(similarities, positives, negatives, ks, temperature, k_temperature):
    """One minus the smooth recall of each anchor, one k and one positive at a time."""
    costs = []
    for s, positive, negative in zip(similarities, positives, negatives, strict=True):
        if not positive.any() or not negative.any():
            costs.append(0.0)
            continue
        recalls = []
        for k in ks:
            hits = 0
            for p in np.flatnonzero(positive):
                closer = sigmoid((s - s[p]) / temperature)
                closer[p] = 0
                rank = 1 + closer[positive | negative].sum()
                hits += sigmoid((k - rank) / k_temperature)
            recalls.append(min(hits, k) / min(k, positive.sum()))
        costs.append(1 - np.mean(recalls))
    return np.array(costs)


@pytest.mark.parametrize(
    "ks, temperature, k_temperature",
    [((1, 2, 4, 8, 16), 0.01, 1.0), ([3], 0.2, 0.5), ([1, 2], 0.5, 3.0)],
)
def test_agrees_with_the_formula(any_pairs, ks, temperature, k_temperature):
    s, positives, negatives = any_pairs
    arguments = ks, temperature, k_temperature
    costs = formula(s.astype("float64"), positives, negatives, *arguments)
    loss = RecallAtK(ks=ks, temperature=temperature, k_temperature=k_temperature)
    np.testing.assert_allclose(loss.pair_loss(*any_pairs), costs, rtol=1e-3, atol=1e-5)


def test_agrees_with_the_formula_from_embeddings(unbalanced):
    labels, embeddings = unbalanced
    costs = formula(cosines(embeddings), *masks(labels), [1, 2], 0.1, 1.0)
    loss = RecallAtK(ks=[1, 2], temperature=0.1)
    np.testing.assert_allclose(loss(labels, embeddings), costs.mean(), rtol=1e-5)


def test_value_worked_by_hand(one_anchor):
    # Far apart for the temperature, so that ranks are whole: positives at ranks 2 and
    # 4. At k = 2 they count sigmoid(0) = 1/2 and sigmoid(-2) = 0.119203; of 2.
    pairs = one_anchor([0.6, 0.2], [0.8, 0.4])
    loss = RecallAtK(ks=[2], temperature=0.001)
    np.testing.assert_allclose(loss.pair_loss(*pairs), [1 - 0.619203 / 2], rtol=1e-5)


def test_more_than_k_positives_count_as_k(one_anchor, pair_gradient):
    # Ten at one place have rank 5.5 each, and ten times sigmoid(1 / 2) is above k = 6.
    pairs = one_anchor([0.5] * 10, [-0.5])
    loss = RecallAtK(ks=[6])
    np.testing.assert_allclose(loss.pair_loss(*pairs), [0.0], atol=1e-6)
    np.testing.assert_array_equal(pair_gradient(loss, *pairs), 0)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"ks": []}, "`ks` must be one or more numbers of at least 1. Received: ks="),
        ({"ks": [0, 1]}, "`ks` must be one or more numbers of at least 1"),
        ({"temperature": 0.0}, "`temperature` and `k_temperature` must be positive"),
        ({"k_temperature": -1.0}, "must be positive. Received: temperature=0.01, k_"),
    ],
)
def test_rejects(bad, message):
    with pytest.raises(ValueError, match=message):
        RecallAtK(**bad)
