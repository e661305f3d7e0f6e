import numpy as np
import pytest

from kerasdml.losses import FastAP
from tests.losses.conftest import cosines, masks


def formula(similarities, positives, negatives, bins):
    """One minus the average precision of histograms, one anchor and node at a time."""
    nodes = np.linspace(0, 4, bins + 1)
    costs = []
    for s, positive, negative in zip(similarities, positives, negatives, strict=True):
        if not positive.any() or not negative.any():
            costs.append(0.0)
            continue
        squares = 2 - 2 * np.clip(s, -1, 1)
        pulse = np.maximum(0, 1 - np.abs(squares[:, None] - nodes) * bins / 4)
        h, other = pulse[positive].sum(axis=0), pulse[negative].sum(axis=0)
        terms = [
            h[i] * h[: i + 1].sum() / (h[: i + 1].sum() + other[: i + 1].sum())
            for i in range(bins + 1)
            if h[i] > 0
        ]
        costs.append(1 - sum(terms) / positive.sum())
    return np.array(costs)


@pytest.mark.parametrize("bins", [1, 10, 37])
def test_agrees_with_the_formula(any_pairs, bins):
    s, positives, negatives = any_pairs
    costs = formula(s.astype("float64"), positives, negatives, bins)
    loss = FastAP(bins=bins)
    np.testing.assert_allclose(loss.pair_loss(*any_pairs), costs, rtol=1e-4, atol=1e-6)


def test_agrees_with_the_formula_from_embeddings(unbalanced):
    labels, embeddings = unbalanced
    costs = formula(cosines(embeddings), *masks(labels), 10)
    np.testing.assert_allclose(FastAP()(labels, embeddings), costs.mean(), rtol=1e-4)


def test_value_and_weights_worked_by_hand(one_anchor, pair_gradient):
    # Two bins, nodes at squared distances 0, 2 and 4. The positive at 1 counts 1/2 at
    # the first two; the negative at 2 counts at the second. Precisions are 1, 1/2, 1/2:
    # 1 - (1/2 * 1 + 1/2 * 1/2) = 1/4.
    pairs = one_anchor([0.5], [0.0])
    loss = FastAP(bins=2)
    np.testing.assert_allclose(loss.pair_loss(*pairs), [0.25], rtol=1e-6)
    # By a step on, h is (1/2 - t, 1/2 + t): the cost is 1/4 + t / 2, and s is -t. The
    # negative's would be (0, 1 - t, t), K (1/2, 3/2 - t + 1/2, 2): 1/4 - t / 8.
    np.testing.assert_allclose(pair_gradient(loss, *pairs), [[-0.5, 0.125]], rtol=1e-5)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"bins": 0}, "`bins` must be an integer of at least 1. Received: bins=0"),
        ({"bins": 2.5}, "`bins` must be an integer of at least 1"),
        ({"similarity": "dot"}, "`similarity` must be 'cosine'. Received: "),
    ],
)
def test_rejects(bad, message):
    with pytest.raises(ValueError, match=message):
        FastAP(**bad)
