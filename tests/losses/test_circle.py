import numpy as np
import pytest

from kerasdml.losses import Circle


def weighted(similarities, positives, negatives, margin, scale):
    """The paper's loss and its weights, one anchor at a time, in float64."""
    costs, weights = [], np.zeros(similarities.shape)
    rows = zip(similarities.astype("float64"), positives, negatives, strict=True)
    for i, (s, pos, neg) in enumerate(rows):
        pace = np.maximum(np.where(pos, 1 + margin - s, s + margin), 0)
        pull = np.exp(-scale * pace * (s - (1 - margin))) * pos
        push = np.exp(scale * pace * (s - margin)) * neg
        product = pull.sum() * push.sum()
        costs.append(np.log1p(product))
        if product:
            share = push / push.sum() - pull / pull.sum()
            weights[i] = product / (1 + product) * scale * pace * share
    return costs, weights


@pytest.mark.parametrize("margin, scale", [(0.4, 80), (0.25, 128), (0.0, 2)])
def test_agrees_with_the_formula_and_its_weights(
    any_pairs, pair_gradient, margin, scale
):
    loss = Circle(margin=margin, scale=scale)
    costs, weights = weighted(*any_pairs, margin, scale)
    np.testing.assert_allclose(loss.pair_loss(*any_pairs), costs, rtol=2e-5, atol=1e-9)
    gradient = pair_gradient(loss, *any_pairs)
    np.testing.assert_allclose(gradient, weights, rtol=1e-3, atol=1e-4)


def test_value_and_weights_worked_by_hand(one_anchor, pair_gradient):
    # With margin 1/4 and scale 1 the positive, 3/4 from 1 + 1/4 and 1/4 from 1 - 1/4,
    # gives e^(3/16); the negative, 5/8 from -1/4 and 1/8 from 1/4, e^(5/64). So the
    # cost is log(1 + e^(17/64)), and its sigmoid 0.566019 multiplies the paces.
    loss = Circle(margin=0.25, scale=1.0)
    pairs = one_anchor([0.5], [0.375])
    np.testing.assert_allclose(loss.pair_loss(*pairs), [0.8347535], rtol=1e-6)
    expected = [[-0.4245143, 0.3537619]]
    np.testing.assert_allclose(pair_gradient(loss, *pairs), expected, rtol=1e-6)


def test_pairs_beyond_their_optimum_weigh_nothing(one_anchor, pair_gradient):
    pairs = one_anchor([0.5], [0.375, -0.3])
    assert pair_gradient(Circle(margin=0.25, scale=1.0), *pairs)[0, 2] == 0


def test_rejects_a_scale_that_is_not_positive():
    with pytest.raises(ValueError, match="must be positive. Received: scale=0"):
        Circle(scale=0)
