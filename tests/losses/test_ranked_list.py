import numpy as np
import pytest

from kerasdml.losses import RankedList
from tests.losses.conftest import distances, masks


def weighted(d, positives, negatives, alpha, margin, sharpness, balance):
    """The loss and its weights, one anchor at a time, in float64."""
    costs, weights = [], np.zeros(d.shape)
    for i, (row, pos, neg) in enumerate(zip(d, positives, negatives, strict=True)):
        far, close = pos & (row > alpha - margin), neg & (row < alpha)
        for mask, excess, sharp, share in (
            (far, row - (alpha - margin), sharpness[0], 1 - balance),
            (close, alpha - row, sharpness[1], balance),
        ):
            w = np.exp(sharp * excess) * mask
            weights[i] += share * w / max(w.sum(), 1e-300)
        signed = np.where(pos, row - (alpha - margin), alpha - row)
        costs.append(np.sum(weights[i] * signed))
    return costs, weights


@pytest.mark.parametrize(
    "alpha, margin, sharpness, balance",
    [(1.2, 0.4, (0, 10), 0.5), (2.5, 1.0, (3, 0), 0.2), (1.0, 0.0, (0, 0), 0.9)],
)
def test_agrees_with_the_formula_and_its_weights(
    unbalanced, pair_gradient, alpha, margin, sharpness, balance
):
    labels, embeddings = unbalanced
    d, (positives, negatives) = distances(embeddings), masks(labels)
    loss = RankedList(
        alpha=alpha,
        margin=margin,
        positive_sharpness=sharpness[0],
        sharpness=sharpness[1],
        balance=balance,
    )
    costs, weights = weighted(
        d, positives, negatives, alpha, margin, sharpness, balance
    )
    value = loss(labels, embeddings)
    np.testing.assert_allclose(value, np.mean(costs), rtol=1e-5)
    gradient = pair_gradient(loss, -d, positives, negatives)
    expected = np.where(positives, -weights, weights)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


def test_value_and_weights_worked_by_hand(one_anchor, pair_gradient):
    # Positives are to be within 1, so 1.5 and 1.25 are too far by 3/8 on average, at
    # 1/4 of the loss. Negatives are to be beyond 2: 1.5 and 1 are too close by 1/2 and
    # 1, and with sharpness 2 log(3) weigh 1/4 and 3/4, times 3/4.
    pairs = one_anchor([-1.5, -0.5, -1.25], [-1.5, -1.0, -2.5])
    loss = RankedList(alpha=2.0, margin=1.0, sharpness=2 * np.log(3), balance=0.75)
    expected = 0.25 * 0.375 + 0.75 * (0.25 * 0.5 + 0.75 * 1.0)
    np.testing.assert_allclose(loss.pair_loss(*pairs), [expected], rtol=1e-6)
    weights = [[-0.125, 0, -0.125, 0.1875, 0.5625, 0]]
    np.testing.assert_allclose(pair_gradient(loss, *pairs), weights, rtol=1e-5)


def test_a_ranked_list_costs_exactly_nothing(one_anchor, pair_gradient):
    pairs = one_anchor([-0.7, -0.1], [-1.3, -1.9])
    assert RankedList().pair_loss(*pairs)[0] == 0
    assert (pair_gradient(RankedList(), *pairs) == 0).all()


@pytest.mark.parametrize(
    "bad, message",
    [
        (
            {"margin": 1.3},
            "`margin` between 0 and `alpha`. Received: alpha=1.2, margin",
        ),
        ({"margin": -0.1}, "Received: alpha=1.2, margin=-0.1"),
        ({"alpha": 0.0, "margin": 0.0}, "`alpha` must be positive"),
        ({"sharpness": -1}, "must not be negative. Received: sharpness=-1"),
        ({"positive_sharpness": -1}, "not be negative. Received: .*sharpness=-1"),
        ({"balance": 1.5}, "must be 0 … 1. Received: balance=1.5"),
    ],
)
def test_rejects_arguments_out_of_range(bad, message):
    with pytest.raises(ValueError, match=message):
        RankedList(**bad)
