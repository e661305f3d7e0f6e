import numpy as np
import pytest

from kerasdml.losses import BarlowTwins
from tests.conftest import value_and_gradient


def formula(first, second, redundancy_weight=0.005):
    """The loss of aligned views, one correlation at a time, in float64."""
    total = 0.0
    for i, a in enumerate(np.asarray(first, float).T):
        for j, b in enumerate(np.asarray(second, float).T):
            correlation = np.corrcoef(a, b)[0, 1]
            if i == j:
                total += (1 - correlation) ** 2
            else:
                total += redundancy_weight * correlation**2
    return total


def views(count=6, dim=3):
    generator = np.random.default_rng(0)
    first = generator.normal(size=(count, dim))
    return first, first + 0.5 * generator.normal(size=(count, dim))


@pytest.mark.parametrize("weight", [0.005, 0.0, 1.0])
def test_agrees_with_the_formula(weight):
    embeddings = np.concatenate(views()).astype("float32")
    value = BarlowTwins(redundancy_weight=weight)(np.tile(np.arange(6), 2), embeddings)
    np.testing.assert_allclose(value, formula(*views(), weight), rtol=1e-5)


def test_value_worked_by_hand():
    # The first coordinate is the same in both views, the second turned round; the two
    # are uncorrelated over the four images. So C = diag(1, -1), which costs 0 + 2^2.
    first = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], "float32")
    embeddings = np.concatenate([first, first * [1, -1]])
    np.testing.assert_allclose(BarlowTwins()(np.tile(np.arange(4), 2), embeddings), 4.0)
    # Where all coordinates are one, all correlations are 1: 0.005 for each of 2.
    both = np.repeat(np.tile(first[:, :1], (2, 1)), 2, axis=1)
    value = BarlowTwins()(np.tile(np.arange(4), 2), both)
    np.testing.assert_allclose(value, 0.01, rtol=1e-5)


def test_lengths_and_means_of_coordinates_do_not_matter():
    embeddings = np.concatenate(views()).astype("float32")
    labels = np.tile(np.arange(6), 2)
    moved = (embeddings * [0.1, 5.0, 100.0] + [3.0, 0.0, -2.0]).astype("float32")
    expected = BarlowTwins()(labels, embeddings)
    np.testing.assert_allclose(BarlowTwins()(labels, moved), expected, rtol=1e-4)


def test_an_example_without_a_partner_takes_no_part():
    labels = np.array([*range(6), *range(6), 0, 8, -1])
    embeddings = np.concatenate([*views(), np.full((3, 3), 50.0)]).astype("float32")
    loss = BarlowTwins()
    value, gradient = value_and_gradient(lambda x: loss(labels, x), embeddings)
    np.testing.assert_allclose(value, formula(*views()), rtol=1e-5)
    assert (gradient[12:] == 0).all() and (gradient[:12] != 0).any(axis=1).all()


def test_a_coordinate_that_does_not_vary_correlates_with_none():
    first, second = views()
    first[:, 1] = 0.1  # whose mean is rounded
    embeddings = np.concatenate([first, second]).astype("float32")
    labels = np.tile(np.arange(6), 2)
    loss = BarlowTwins(redundancy_weight=0.0)
    value, gradient = value_and_gradient(lambda x: loss(labels, x), embeddings)
    others = formula(first[:, [0, 2]], second[:, [0, 2]], 0.0)
    np.testing.assert_allclose(value, others + 1.0, rtol=1e-5)
    assert (gradient[:, 1] == 0).all()


def test_a_batch_without_pairs_costs_nothing():
    assert BarlowTwins()(np.arange(4), np.eye(4, dtype="float32")) == 0


def test_rejects_a_negative_weight():
    with pytest.raises(
        ValueError, match="not be negative. Received: redundancy_weight"
    ):
        BarlowTwins(redundancy_weight=-1.0)
