import numpy as np
import pytest

from kerasdml.losses import MultiSimilarity, ThresholdConsistentMargin
from tests.losses.conftest import cosines, masks


def formula(similarities, positives, negatives, margins, weights):
    """The loss over the hard pairs of the batch, in float64."""
    pos, neg = similarities[positives], similarities[negatives]
    pos, neg = pos[pos <= margins[0]], neg[neg >= margins[1]]
    terms = margins[0] - pos, neg - margins[1]
    return sum(
        weight * np.mean(term)
        for weight, term in zip(weights, terms, strict=True)
        if term.size
    )


@pytest.mark.parametrize(
    "margins, weights", [((0.9, 0.5), (1, 1)), ((0.6, 0.1), (0.3, 2)), ((9, 2), (1, 1))]
)
def test_agrees_with_the_formula(unbalanced, margins, weights):
    labels, embeddings = unbalanced
    loss = ThresholdConsistentMargin(
        positive_margin=margins[0],
        negative_margin=margins[1],
        positive_weight=weights[0],
        negative_weight=weights[1],
    )
    expected = formula(cosines(embeddings), *masks(labels), margins, weights)
    np.testing.assert_allclose(loss(labels, embeddings), expected, rtol=1e-5)


def test_value_and_weights_worked_by_hand(one_anchor, pair_gradient):
    # Below 0.9 are 0.8 and 0.4, by 0.3 on average; above 0.5 is 0.7 alone, by 0.2.
    pairs = one_anchor([0.8, 0.95, 0.4], [0.7, 0.3])
    loss = ThresholdConsistentMargin()
    np.testing.assert_allclose(loss.pair_loss(*pairs), [0.5], rtol=1e-6)
    expected = [[-0.5, 0, -0.5, 1, 0]]
    np.testing.assert_allclose(pair_gradient(loss, *pairs), expected, rtol=1e-6)


def test_is_nothing_without_hard_pairs():
    corners = np.eye(4, dtype="float32")[[0, 0, 1, 1, 2, 2]]
    assert ThresholdConsistentMargin()(np.repeat([0, 1, 2], 2), corners) == 0


def test_adds_to_another_loss(unbalanced):
    parts = MultiSimilarity(), ThresholdConsistentMargin()
    expected = sum(float(loss(*unbalanced)) for loss in parts)
    np.testing.assert_allclose((parts[0] + parts[1])(*unbalanced), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"positive_margin": 0.5}, "above `negative_margin`. Received: positive_mar"),
        ({"positive_weight": -1}, "not be negative. Received: positive_weight=-1"),
        ({"negative_weight": -1}, "not be negative. Received: .*negative_weight=-1"),
        ({"average": "active"}, "must be 'anchors'. Received: average='active'"),
    ],
)
def test_rejects_arguments_out_of_range(bad, message):
    with pytest.raises(ValueError, match=message):
        ThresholdConsistentMargin(**bad)
