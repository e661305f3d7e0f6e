import numpy as np
import pytest

from kerasdml.losses import Quadruplet, Triplet
from tests.losses.conftest import cosines, masks


def formula(labels, similarities, margin, second_margin):
    """Each anchor's hardest quadruplet, every pair of others looked at."""
    costs = []
    for i, label in enumerate(labels):
        same = (labels == label) & (np.arange(labels.size) != i)
        other = np.flatnonzero(labels != label)
        if not same.any() or not other.size:
            costs.append(0.0)
            continue
        farthest = similarities[i, same].min()
        cost = max(similarities[i, other].max() - farthest + margin, 0)
        pairs = [
            similarities[m, n] for m in other for n in other if labels[m] != labels[n]
        ]
        if pairs:
            cost += max(max(pairs) - farthest + second_margin, 0)
        costs.append(cost)
    return np.array(costs)


def test_agrees_with_the_formula(unbalanced):
    labels, embeddings = unbalanced
    s = cosines(embeddings)
    expected = formula(labels, s, 0.3, 0.2)
    loss = Quadruplet(margin=0.3, second_margin=0.2)
    found = loss.pair_loss(s.astype("float32"), *masks(labels))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(loss(labels, embeddings), expected.mean(), rtol=1e-4)


def test_value_worked_by_hand():
    # On a line at 0, 2 (class 0), 5 (class 1) and 6 (class 2), margins 2 and 1. From 0:
    # 2 - 5 + 2 < 0, and 2 - 1 + 1 = 2, of 5 and 6. From 2: 2 - 3 + 2 = 1, and again 2.
    x = np.array([[0.0], [2.0], [5.0], [6.0]], "float32")
    loss = Quadruplet(margin=2.0, second_margin=1.0, similarity="euclidean")
    np.testing.assert_allclose(loss(np.array([0, 0, 1, 2]), x), 5 / 4, rtol=1e-5)


def test_of_two_classes_it_is_the_hard_triplet():
    labels = np.array([0, 0, 1, 1, 1])
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    triplet = Triplet(negatives="hard", margin=0.5, average="anchors")
    np.testing.assert_allclose(
        Quadruplet(margin=0.5)(labels, x), triplet(labels, x), rtol=1e-6
    )


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"margin": -1.0}, "`margin` and `second_margin` must not be negative. Rec"),
        ({"second_margin": -1.0}, "must not be negative. Received: margin=0.1, second"),
        ({"references": [object()]}, "compares its references with one another"),
    ],
)
def test_rejects(bad, message):
    with pytest.raises(ValueError, match=message):
        Quadruplet(**bad)
