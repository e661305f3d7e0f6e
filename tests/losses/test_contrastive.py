import numpy as np
import pytest

from kerasdml.losses import Contrastive
from tests.losses.conftest import cosines, distances, masks


def formula(similarities, positives, negatives, margin, positive_margin):
    """The cost of each anchor, and how many of its pairs cost something."""
    costs, counts = [], []
    for s, pos, neg in zip(similarities, positives, negatives, strict=True):
        pull = [max(positive_margin - s[k], 0.0) for k in np.flatnonzero(pos)]
        push = [max(s[k] - margin, 0.0) for k in np.flatnonzero(neg)]
        costs.append(sum(pull) + sum(push))
        counts.append(np.count_nonzero(pull) + np.count_nonzero(push))
    return np.array(costs), np.array(counts)


@pytest.mark.parametrize("margin, positive_margin", [(0.5, 1.0), (-0.2, 0.3)])
def test_agrees_with_the_formula(any_pairs, margin, positive_margin):
    loss = Contrastive(margin=margin, positive_margin=positive_margin)
    costs, counts = formula(*any_pairs, margin, positive_margin)
    np.testing.assert_allclose(loss.pair_loss(*any_pairs), costs, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(loss.pair_count(*any_pairs), counts)


@pytest.mark.parametrize("average", ["anchors", "active", "pairs"])
def test_agrees_with_the_formula_from_embeddings(unbalanced, average):
    labels, embeddings = unbalanced
    costs, counts = formula(cosines(embeddings), *masks(labels), 0.5, 0.8)
    number = {"anchors": 13, "active": np.sum(costs > 0), "pairs": np.sum(counts)}
    value = Contrastive(positive_margin=0.8, average=average)(labels, embeddings)
    np.testing.assert_allclose(value, np.sum(costs) / number[average], rtol=1e-5)


def test_on_distances_it_is_the_hinge_of_the_paper_without_squares(unbalanced):
    labels, embeddings = unbalanced
    positives, negatives = masks(labels)
    d = distances(embeddings)
    expected = np.sum(d[positives]) + np.sum(np.maximum(1.0 - d[negatives], 0.0))
    loss = Contrastive(similarity="euclidean", margin=-1.0, positive_margin=0.0)
    np.testing.assert_allclose(loss(labels, embeddings), expected / 13, rtol=1e-5)


@pytest.mark.parametrize("average, divisor", [("anchors", 3), ("pairs", 4)])
def test_value_worked_by_hand(at_angles, average, divisor):
    # At 0, 60 and 90 degrees: s_01 = 1/2 costs its two ends 1/2 each; s_12 = cos 30
    # = 0.866025 exceeds the margin of 1/2 by 0.366025 at both ends; s_02 = 0 is free.
    # Together 1 + 0.732051, over 3 anchors or the 4 pairs that cost something.
    loss = Contrastive(margin=0.5, average=average)
    value = loss(np.array([0, 0, 1]), at_angles(0, 60, 90))
    np.testing.assert_allclose(value, 1.732051 / divisor, rtol=1e-6)


def test_weights_worked_by_hand(one_anchor, pair_gradient):
    # 0.7 + 0.4 for the positives; of the negatives only 0.55 is above the margin.
    pairs = one_anchor([0.3, 0.6], [0.45, 0.55, 0.2])
    np.testing.assert_allclose(Contrastive().pair_loss(*pairs), [1.15], rtol=1e-6)
    weights = pair_gradient(Contrastive(), *pairs)
    np.testing.assert_array_equal(weights, [[-1.0, -1.0, 0.0, 1.0, 0.0]])


def test_lets_go_of_a_positive_that_is_close_enough(one_anchor, pair_gradient):
    loss = Contrastive(positive_margin=0.8)
    weights = pair_gradient(loss, *one_anchor([0.9, 0.7], []))
    np.testing.assert_array_equal(weights, [[0.0, -1.0]])


def test_rejects_margins_that_do_not_part():
    with pytest.raises(ValueError, match="must be above `margin`. Received: positive_"):
        Contrastive(margin=0.5, positive_margin=0.5)
