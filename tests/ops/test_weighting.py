import keras
import numpy as np
import pytest

from kerasdml import losses
from kerasdml.ops import log_sum_exp, pair_weights
from tests.conftest import compiled, value_and_gradient


def one_anchor(positives, negatives):
    similarities = np.array([[*positives, *negatives]], "float32")
    positive = np.arange(similarities.size)[None] < len(positives)
    return similarities, positive, ~positive


def generalized_lifted(s, positives, negatives):
    """log sum_P e^(1/2 - s) + log sum_N e^s."""
    return log_sum_exp(0.5 - s, positives) + log_sum_exp(s, negatives)


ms = losses.MultiSimilarity(alpha=2.0, beta=40.0, base=0.5).pair_loss
pairs = one_anchor([0.3, 0.6], [0.45, 0.55, 0.2])


@pytest.mark.parametrize(
    "pair_loss, pairs, expected",
    [
        # A positive is pulled whatever its similarity, a negative pushed above 1/2.
        (losses.Contrastive().pair_loss, pairs, [-1, -1, 0, 1, 0]),
        # With margin 0.1 the positive at 0.3 violates with all three negatives, that at
        # 0.6 with the one at 0.55.
        (
            losses.Triplet(margin=0.1).pair_loss,
            one_anchor([0.3, 0.6], [0.45, 0.55, 0.25]),
            [-3, -1, 1, 2, 1],
        ),
        # Shares of e^-0.3 and e^-0.6, and of e^0.45, e^0.55 and e^0.2.
        (
            generalized_lifted,
            pairs,
            [-0.5744425, -0.4255575, 0.3467440, 0.3832114, 0.2700445],
        ),
        # e^(s - 0.3) over 1 and their sum.
        (
            losses.NPairs().pair_loss,
            one_anchor([0.3], [0.45, 0.55, 0.2]),
            [-0.7701518, 0.2670455, 0.2951310, 0.2079753],
        ),
        (ms, pairs, [-0.4506267, -0.2473092, 0.0158762, 0.8668127, 7.2e-7]),
    ],
)
def test_weights_worked_by_hand(pair_loss, pairs, expected):
    weights = pair_weights(pair_loss, *pairs)
    np.testing.assert_allclose(weights, [expected], rtol=2e-6, atol=1e-8)


def test_no_further_gradient_flows():
    s, *masks = pairs
    weights, gradient = value_and_gradient(
        lambda s: keras.ops.sum(s * pair_weights(ms, s, *masks)), s
    )
    np.testing.assert_array_equal(gradient, pair_weights(ms, *pairs))
    assert weights.shape == ()


def test_compiled_agrees_with_eager():
    weights = compiled(lambda s: pair_weights(ms, s, *pairs[1:]))(pairs[0])
    np.testing.assert_allclose(weights, pair_weights(ms, *pairs), rtol=1e-6)
