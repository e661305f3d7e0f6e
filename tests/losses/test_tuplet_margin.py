import numpy as np
import pytest

from kerasdml.losses import NTXent, TupletMargin
from tests.losses.conftest import cosines, masks


def formula(similarities, positives, negatives, margin, scale):
    """The loss of each positive pair by its angle, by anchor, in float64."""
    costs = []
    for s, pos, neg in zip(similarities, positives, negatives, strict=True):
        angle = np.arccos(np.clip(s.astype("float64"), -1, 1))
        slackened = np.cos(angle - np.radians(margin))
        costs.append(
            [
                np.log1p(np.sum(np.exp(scale * (np.cos(angle[neg]) - slackened[p]))))
                for p in np.flatnonzero(pos)
            ]
        )
    return costs


@pytest.mark.parametrize("margin, scale", [(5.73, 64), (30, 2), (0, 10)])
def test_agrees_with_the_formula(any_pairs, margin, scale):
    loss = TupletMargin(margin=margin, scale=scale)
    expected = [sum(costs) for costs in formula(*any_pairs, margin, scale)]
    np.testing.assert_allclose(
        loss.pair_loss(*any_pairs), expected, rtol=1e-5, atol=1e-6
    )


def test_averages_over_positive_pairs(unbalanced):
    labels, embeddings = unbalanced
    costs = np.concatenate(formula(cosines(embeddings), *masks(labels), 5.73, 64))
    value = TupletMargin()(labels, embeddings)
    np.testing.assert_allclose(value, np.mean(costs), rtol=1e-5)


def test_value_and_weights_worked_by_hand(one_anchor, pair_gradient):
    # The positive at 60 degrees counts as one at 30, cos 0.866025: with the negative at
    # 0.366025 and scale 2 the cost is log(1 + e^-1) and the weight 2 sigmoid(-1), for
    # the positive times sin 30 / sin 60.
    pairs = one_anchor([0.5], [0.3660254])
    loss = TupletMargin(margin=30.0, scale=2.0)
    np.testing.assert_allclose(loss.pair_loss(*pairs), [0.3132617], rtol=1e-6)
    expected = [[-0.3105491, 0.5378828]]
    np.testing.assert_allclose(pair_gradient(loss, *pairs), expected, rtol=1e-5)


def test_without_slack_is_nt_xent(unbalanced):
    labels, embeddings = unbalanced
    expected = NTXent(temperature=1 / 64)(labels, embeddings)
    value = TupletMargin(margin=0)(labels, embeddings)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_a_positive_within_the_slack_is_pushed(one_anchor, pair_gradient):
    near, far = np.cos(np.radians([3.0, 9.0]))
    loss = TupletMargin(scale=1.0)
    gradient = pair_gradient(loss, *one_anchor([near, far], [0.0]))[0]
    assert gradient[0] > 0 > gradient[1]


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"margin": 90.0}, "`margin` must be in degrees, at least 0 and below 90. Rec"),
        ({"margin": -1.0}, "Received: margin=-1.0"),
        ({"scale": 0.0}, "`scale` must be positive. Received: scale=0.0"),
        ({"similarity": "dot"}, "must be 'cosine'. Received: similarity='dot'"),
    ],
)
def test_rejects_arguments_out_of_range(bad, message):
    with pytest.raises(ValueError, match=message):
        TupletMargin(**bad)
