import itertools

import numpy as np
import pytest

from kerasdml.losses import Triplet
from tests.losses.conftest import cosines, distances, masks


def violations(negatives, similarities, positive, negative):
    """`s_n - s_p` of one anchor's triplets, each written out."""
    p, n = similarities[positive], similarities[negative]
    if p.size == 0 or n.size == 0:
        return []
    if negatives == "all":
        return [b - a for a, b in itertools.product(p, n)]
    if negatives == "hard":
        return [max(n) - min(p)]
    farther = [[b for b in n if b < a] for a in p]  # the semi-hard and beyond
    return [
        (max(beyond) if beyond else min(n)) - a
        for a, beyond in zip(p, farther, strict=True)
    ]


def formula(negatives, pairs, margin):
    """The cost of each anchor, and by how many triplets its average divides."""
    costs, counts = [], []
    for anchor in zip(*pairs, strict=True):
        found = violations(negatives, *anchor)
        if margin == "soft":
            hinges = [np.log1p(np.exp(v)) for v in found]
        else:
            hinges = [max(v + margin, 0.0) for v in found]
        costs.append(sum(hinges))
        all_count = negatives != "all"
        counts.append(len(hinges) if all_count else sum(h > 1e-6 for h in hinges))
    return np.array(costs), np.array(counts)


each_choice = pytest.mark.parametrize(
    "negatives, margin",
    [
        ("all", 0.0),
        ("all", 0.1),
        ("all", 3.0),
        ("semi_hard", 0.2),
        ("semi_hard", "soft"),
        ("hard", 0.2),
        ("hard", "soft"),
    ],
)


@each_choice
def test_agrees_with_every_triplet_written_out(any_pairs, negatives, margin):
    loss = Triplet(negatives=negatives, margin=margin)
    s, positives, masked = any_pairs
    costs, counts = formula(negatives, (s.astype("float64"), positives, masked), margin)
    np.testing.assert_allclose(loss.pair_loss(*any_pairs), costs, rtol=2e-5, atol=2e-6)
    np.testing.assert_array_equal(loss.pair_count(*any_pairs), counts)


@each_choice
def test_agrees_with_every_triplet_written_out_where_many_tie(negatives, margin):
    # Multiples of 1/4, so that most similarities occur several times in a row.
    generator = np.random.default_rng(0)
    s = generator.integers(-4, 5, size=(13, 13)) / 4.0
    positives, masked = masks(generator.integers(0, 3, size=13))
    costs, counts = formula(negatives, (s, positives, masked), margin)
    loss = Triplet(negatives=negatives, margin=margin)
    pairs = s.astype("float32"), positives, masked
    np.testing.assert_allclose(loss.pair_loss(*pairs), costs, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(loss.pair_count(*pairs), counts)


@each_choice
@pytest.mark.parametrize("average", ["anchors", "active", "pairs"])
def test_agrees_with_the_formula_from_embeddings(
    unbalanced, negatives, margin, average
):
    labels, embeddings = unbalanced
    costs, counts = formula(negatives, (cosines(embeddings), *masks(labels)), margin)
    number = {"anchors": 13, "active": np.sum(costs > 0), "pairs": np.sum(counts)}
    loss = Triplet(negatives=negatives, margin=margin, average=average)
    expected = np.sum(costs) / number[average]
    np.testing.assert_allclose(loss(labels, embeddings), expected, rtol=1e-4)


def test_value_and_weights_worked_by_hand(one_anchor, pair_gradient):
    # The positive 0.3 violates with all: 0.25 + 0.35 + 0.05. The positive 0.6 violates
    # with 0.55 alone: 0.05. Four of six triplets cost, 0.7 together.
    pairs = one_anchor([0.3, 0.6], [0.45, 0.55, 0.25])
    loss = Triplet(margin=0.1)
    np.testing.assert_allclose(loss.pair_loss(*pairs), [0.7], rtol=1e-5)
    np.testing.assert_array_equal(loss.pair_count(*pairs), [4])
    weights = pair_gradient(loss, *pairs)
    np.testing.assert_array_equal(weights, [[-3.0, -1.0, 1.0, 2.0, 1.0]])


def test_takes_the_closest_negative_that_is_farther_than_the_positive(
    one_anchor, pair_gradient
):
    # 0.7 is closer than the positive; of 0.5 and 0.2 the first: 0.5 - 0.6 + 0.2.
    pairs = one_anchor([0.6], [0.7, 0.5, 0.2])
    loss = Triplet(negatives="semi_hard", margin=0.2)
    np.testing.assert_allclose(loss.pair_loss(*pairs), [0.1], rtol=1e-5)
    np.testing.assert_array_equal(pair_gradient(loss, *pairs), [[-1, 0, 1, 0]])


def test_takes_the_farthest_negative_if_all_are_closer(one_anchor, pair_gradient):
    pairs = one_anchor([0.1], [0.7, 0.5, 0.2])  # 0.2 - 0.1 + 0.2
    loss = Triplet(negatives="semi_hard", margin=0.2)
    np.testing.assert_allclose(loss.pair_loss(*pairs), [0.3], rtol=1e-5)
    np.testing.assert_array_equal(pair_gradient(loss, *pairs), [[-1, 0, 0, 1]])


def test_a_negative_as_close_as_the_positive_is_not_semi_hard(
    one_anchor, pair_gradient
):
    pairs = one_anchor([0.6], [0.6, 0.5])
    loss = Triplet(negatives="semi_hard", margin=0.2)
    np.testing.assert_array_equal(pair_gradient(loss, *pairs), [[-1, 0, 1]])


def test_semi_hard_distances_worked_by_hand():
    # On a line at 0, 1 (class 0), 3 and 4.5 (class 1), margin 1: from 0 the negative
    # next beyond 1 is 3, so 1 - 3 + 1 < 0. From 1, next beyond 1 is 2: 1 - 2 + 1 = 0.
    # From 3, beyond 1.5 is 2: 1.5 - 2 + 1 = 0.5. From 4.5, beyond 1.5 is 3.5: < 0.
    x = np.array([[0.0], [1.0], [3.0], [4.5]], "float32")
    loss = Triplet(negatives="semi_hard", similarity="euclidean", margin=1.0)
    np.testing.assert_allclose(loss(np.array([0, 0, 1, 1]), x), 0.5 / 4, rtol=1e-6)


def test_hard_pairs_the_farthest_positive_with_the_closest_negative(
    one_anchor, pair_gradient
):
    pairs = one_anchor([0.3, 0.6], [0.45, 0.55, 0.25])  # 0.55 - 0.3 + 0.1
    loss = Triplet(negatives="hard", margin=0.1)
    np.testing.assert_allclose(loss.pair_loss(*pairs), [0.35], rtol=1e-5)
    np.testing.assert_array_equal(pair_gradient(loss, *pairs), [[-1, 0, 0, 1, 0]])


def test_soft_margin_worked_by_hand(one_anchor):
    pairs = one_anchor([0.5], [0.5])  # log(1 + e^0)
    for negatives in ("semi_hard", "hard"):
        loss = Triplet(negatives=negatives, margin="soft")
        np.testing.assert_allclose(loss.pair_loss(*pairs), [np.log(2)], rtol=1e-6)


def test_agrees_with_the_formula_on_distances(unbalanced):
    labels, embeddings = unbalanced
    pairs = -distances(embeddings), *masks(labels)
    for negatives in ("all", "semi_hard", "hard"):
        costs, counts = formula(negatives, pairs, 1.0)
        loss = Triplet(negatives=negatives, similarity="euclidean", margin=1.0)
        expected = np.sum(costs) / np.sum(counts)
        np.testing.assert_allclose(loss(labels, embeddings), expected, rtol=1e-4)


def test_duplicates_of_all_classes_cost_the_margin_and_no_more():
    # All similarities are 1: each triplet costs the margin; with none, none counts.
    x = np.ones((6, 3), "float32")
    labels = np.array([0, 1, 0, 1, 1, 0])
    for negatives in ("all", "semi_hard", "hard"):
        loss = Triplet(negatives=negatives, margin=0.25)
        np.testing.assert_allclose(loss(labels, x), 0.25, rtol=1e-5)
    s = np.ones((6, 6), "float32")
    np.testing.assert_array_equal(
        Triplet(margin=0.0).pair_count(s, *masks(labels)), np.zeros(6)
    )


def swapped(similarities, positives, negatives, a, p):
    """How close each negative is to the closer of anchor and positive."""
    closer = np.maximum(similarities[a], similarities[p])
    return closer[negatives[a]]


@pytest.mark.parametrize("negatives", ["semi_hard", "hard"])
def test_swap_agrees_with_every_triplet_written_out(unbalanced, negatives):
    labels, embeddings = unbalanced
    pairs = s, positives, masked = cosines(embeddings), *masks(labels)
    costs = np.zeros(labels.size)
    for a in np.flatnonzero(positives.any(axis=1)):
        partners = np.flatnonzero(positives[a])
        if negatives == "hard":
            partners = [min(partners, key=lambda p: s[a, p])]
        for p in partners:
            n = swapped(*pairs, a, p)
            farther = n[n < s[a, p]]
            if negatives == "hard":
                taken = n.max()
            else:
                taken = farther.max() if farther.size else n.min()
            costs[a] += max(taken - s[a, p] + 0.3, 0)
    loss = Triplet(negatives=negatives, margin=0.3, swap=True)
    found = loss.pair_loss(s.astype("float32"), positives, masked)
    np.testing.assert_allclose(found, costs, rtol=1e-4, atol=1e-6)


def test_swap_takes_the_negative_of_the_positive_worked_by_hand():
    # On a line at 0, 2 (class 0) and 3 (class 1). The anchor 0 is 3 from the negative,
    # its positive only 1: 2 - 1 + 0.5. From 2 the negative is 1 itself: the same.
    x = np.array([[0.0], [2.0], [3.0]], "float32")
    for negatives in ("semi_hard", "hard"):
        loss = Triplet(
            negatives=negatives, swap=True, similarity="euclidean", margin=0.5
        )
        np.testing.assert_allclose(loss(np.array([0, 0, 1]), x), 1.5, rtol=1e-5)


def test_swap_refuses_references_and_all_triplets():
    with pytest.raises(ValueError, match="compares its references with one another"):
        Triplet(negatives="hard", swap=True, references=[object()])
    with pytest.raises(ValueError, match="`swap=True` needs `negatives='semi_hard'`"):
        Triplet(swap=True)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"negatives": "easy"}, "must be one of 'all', 'semi_hard' and 'hard'"),
        ({"margin": "soft"}, "needs `negatives='semi_hard'` or 'hard'"),
        ({"margin": "hard"}, "must be a number of at least 0, or 'soft'. Received"),
        ({"margin": -0.1}, "must be a number of at least 0, or 'soft'. Received"),
    ],
)
def test_rejects(bad, message):
    with pytest.raises(ValueError, match=message):
        Triplet(**bad)
