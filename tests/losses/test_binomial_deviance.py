import numpy as np
import pytest

from kerasdml.losses import BinomialDeviance


def formula(similarities, positives, negatives, alpha, beta, base):
    """The loss, one anchor and one pair at a time, in float64."""
    costs = []
    for s, pos, neg in zip(similarities, positives, negatives, strict=True):
        s = s.astype("float64")
        pull = [np.log1p(np.exp(-alpha * (s[k] - base))) for k in np.flatnonzero(pos)]
        push = [np.log1p(np.exp(beta * (s[k] - base))) for k in np.flatnonzero(neg)]
        costs.append(sum(np.mean(terms) for terms in (pull, push) if terms))
    return costs


@pytest.mark.parametrize("alpha, beta, base", [(2, 50, 0.5), (1, 2, 0)])
def test_agrees_with_the_formula(any_pairs, alpha, beta, base):
    loss = BinomialDeviance(alpha=alpha, beta=beta, base=base)
    expected = formula(*any_pairs, alpha, beta, base)
    np.testing.assert_allclose(loss.pair_loss(*any_pairs), expected, rtol=1e-5)


def test_weights_worked_by_hand(one_anchor, pair_gradient):
    # Of a positive sigmoid(2 (1/2 - s)), 2 over their number 2; of a negative
    # 40 / 3 sigmoid(40 (s - 1/2)).
    pairs = one_anchor([0.3, 0.6], [0.45, 0.55, 0.2])
    loss = BinomialDeviance(alpha=2, beta=40, base=0.5)
    np.testing.assert_allclose(loss.pair_loss(*pairs), [1.5068644], rtol=1e-6)
    expected = [[-0.5986877, -0.4501660, 1.5893723, 11.7439610, 8.19e-5]]
    np.testing.assert_allclose(
        pair_gradient(loss, *pairs), expected, rtol=1e-5, atol=1e-7
    )


def test_costs_worked_by_hand():
    # Similarities are 0.6, 0 and 0.8. The first anchor pays log(1 + e^(-2 (0.6 - 0.5)))
    # + log(1 + e^(25 (0 - 0.5))), the last, without positives, the mean of
    # log(1 + e^(-12.5)) and log(1 + e^7.5).
    embeddings = np.array([[1, 0], [0.6, 0.8], [0, 1]], "float32")
    loss = BinomialDeviance(beta=25.0, reduction="none")
    costs = loss(np.array([0, 0, 1]), embeddings)
    np.testing.assert_allclose(costs, [0.5981426, 8.0986918, 3.7502783], rtol=1e-6)


@pytest.mark.parametrize("bad", [{"alpha": 0.0}, {"beta": -1.0}])
def test_rejects_a_sharpness_that_is_not_positive(bad):
    with pytest.raises(ValueError, match="must be positive. Received: alpha="):
        BinomialDeviance(**bad)
