import numpy as np

from kerasdml.losses import SecondOrderSimilarity
from tests.losses.conftest import distances, masks


def test_agrees_with_every_triplet_written_out(unbalanced):
    labels, embeddings = unbalanced
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    squares, (positives, negatives) = distances(unit) ** 2, masks(labels)
    total = sum(
        (squares[a, n] - squares[p, n]) ** 2
        for a, p in np.argwhere(positives)
        for n in np.flatnonzero(negatives[a])
    )
    expected = np.sqrt(total) / positives.sum()
    found = SecondOrderSimilarity()(labels, embeddings)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_value_worked_by_hand(at_angles):
    # From a negative at 90 degrees those at 0 and 60 are at squared distances of 2 and
    # 2 - 2 cos 30 = 0.267949: a difference of sqrt(3) for both of two pairs.
    found = SecondOrderSimilarity()(np.array([0, 0, 1]), at_angles(0, 60, 90))
    np.testing.assert_allclose(found, np.sqrt(3 + 3) / 2, rtol=1e-6)


def test_examples_equally_far_from_all_negatives_cost_nothing(at_angles):
    # Those at -40 and 40 degrees are so, of both negatives, at 0 and 180. The two, as
    # anchors, differ by 4 cos 40 for either of their negatives: in all by that squared,
    # four times, of four pairs.
    x = at_angles(-40, 40, 0, 180)
    found = SecondOrderSimilarity()(np.array([0, 0, 1, 1]), x)
    np.testing.assert_allclose(found, 2 * np.cos(np.radians(40)), rtol=1e-6)
    found = SecondOrderSimilarity()(np.array([0, 0, 1, 2]), x)
    np.testing.assert_allclose(found, 0, atol=1e-3)
