import numpy as np
import pytest

from kerasdml.losses import IntraPairVariance
from tests.losses.conftest import cosines, masks


def formula(similarities, positives, negatives, positive_slack, negative_slack):
    """The loss over the pairs of the batch, in float64."""
    s = similarities.astype("float64")
    pos, neg = s[positives], s[negatives]
    pull = np.maximum((1 - positive_slack) * np.mean(pos) - pos, 0)
    push = np.maximum(neg - (1 + negative_slack) * np.mean(neg), 0)
    return np.mean(pull**2) + np.mean(push**2)


@pytest.mark.parametrize("slacks", [(0.01, 0.01), (0.0, 0.5), (0.3, 0.1)])
def test_agrees_with_the_formula(unbalanced, slacks):
    labels, embeddings = unbalanced
    loss = IntraPairVariance(positive_slack=slacks[0], negative_slack=slacks[1])
    expected = formula(cosines(embeddings), *masks(labels), *slacks)
    np.testing.assert_allclose(loss(labels, embeddings), expected, rtol=1e-5)


def test_value_and_weights_worked_by_hand(one_anchor, pair_gradient):
    # Positives have the mean 1/2, and 1/4 falls short of it by 1/4: (1/16) / 2. The
    # negatives' mean is 0, and 1/2 and 0 lie above it by 1/2 and 0: (1/4) / 4. The mean
    # gives each of its pairs part of what it pulls or pushes: 2 (1/4) / 2 / 2 = 1/8 of
    # the positive's 1/4, and 2 (1/2) / 4 / 4 = 1/16 of the negative's 1/4.
    pairs = one_anchor([0.25, 0.75], [0.5, 0.0, -0.25, -0.25])
    loss = IntraPairVariance(positive_slack=0.0, negative_slack=0.0)
    np.testing.assert_allclose(loss.pair_loss(*pairs), [3 / 32], rtol=1e-6)
    expected = [[-1 / 8, 1 / 8, 3 / 16, -1 / 16, -1 / 16, -1 / 16]]
    np.testing.assert_allclose(pair_gradient(loss, *pairs), expected, rtol=1e-6)


def test_is_nothing_where_all_pairs_of_a_kind_are_alike():
    corners = np.eye(4, dtype="float32")[[0, 0, 1, 1, 2, 2]]
    assert IntraPairVariance()(np.repeat([0, 1, 2], 2), corners) == 0


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"positive_slack": -0.1}, "must be 0 … 1. Received: positive_slack=-0.1"),
        ({"negative_slack": 1.1}, "must be 0 … 1. Received: .* negative_slack=1.1"),
        ({"average": "active"}, "must be 'anchors'. Received: average='active'"),
    ],
)
def test_rejects_arguments_out_of_range(bad, message):
    with pytest.raises(ValueError, match=message):
        IntraPairVariance(**bad)
