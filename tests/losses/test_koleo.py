import numpy as np
import pytest

from kerasdml.losses import KoLeo
from tests.conftest import value_and_gradient


def test_agrees_with_the_formula(unbalanced):
    labels, embeddings = unbalanced
    x = embeddings.astype(float)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    distances = np.linalg.norm(x[:, None] - x, axis=2)
    expected = [
        -np.log(min(distance for j, distance in enumerate(row) if j != i) + 1e-8)
        for i, row in enumerate(distances)
    ]
    costs = KoLeo(reduction="none")(labels, embeddings)
    np.testing.assert_allclose(costs, expected, rtol=1e-4)


def test_value_worked_by_hand(at_angles):
    # 0 and 60 degrees are each other's nearest, at the distance 1, which costs 0; 180
    # is nearest to 60, at the distance 2 sin(60 degrees) = 1.7320508.
    value = KoLeo()(np.zeros(3, int), at_angles(0, 60, 180))
    np.testing.assert_allclose(value, -np.log(3**0.5) / 3, rtol=1e-6)


def test_only_directions_count(at_angles):
    embeddings = at_angles(0, 60, 180)
    lengths = np.array([[1.0], [20.0], [0.3]], "float32")
    labels = np.arange(3)
    np.testing.assert_allclose(
        KoLeo()(labels, lengths * embeddings), KoLeo()(labels, embeddings), rtol=1e-5
    )


def test_neighbours_closer_than_cosines_resolve_are_told_from_copies():
    # In float32 the cosine of 1e-5 is 1.
    embeddings = np.array([[1.0, 0.0], [1.0, 1e-5]], "float32")
    loss = KoLeo()
    value, gradient = value_and_gradient(lambda x: loss(np.arange(2), x), embeddings)
    np.testing.assert_allclose(value, -np.log(1.001e-5), rtol=1e-5)
    assert gradient[0, 1] > 0 > gradient[1, 1], "they are pushed apart"


def test_copies_cost_the_most_but_know_no_way_apart():
    loss = KoLeo(epsilon=1e-4)
    copies = np.ones((3, 2), "float32")
    value, gradient = value_and_gradient(lambda x: loss(np.arange(3), x), copies)
    np.testing.assert_allclose(value, -np.log(1e-4), rtol=1e-6)
    assert (gradient == 0).all()


def test_an_example_alone_costs_nothing():
    assert KoLeo()(np.zeros(1, int), np.ones((1, 3), "float32")) == 0


def test_rejects_an_epsilon_that_is_not_positive():
    with pytest.raises(ValueError, match="must be positive. Received: epsilon=0"):
        KoLeo(epsilon=0.0)
