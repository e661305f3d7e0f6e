import numpy as np
import pytest

from kerasdml.losses import VICReg
from tests.conftest import value_and_gradient


def formula(first, second, spread=1.0, epsilon=1e-4, weights=(25.0, 25.0, 1.0)):
    """The three terms of aligned views, one coordinate at a time, in float64."""
    first, second = np.asarray(first, float), np.asarray(second, float)
    d = first.shape[1]
    terms = [np.mean((first - second) ** 2), 0.0, 0.0]
    for view in (first, second):
        for i in range(d):
            deviation = np.sqrt(np.var(view[:, i], ddof=1) + epsilon)
            terms[1] += max(0.0, spread - deviation) / d / 2
            for j in range(d):
                if i != j:
                    terms[2] += np.cov(view[:, i], view[:, j])[0, 1] ** 2 / d
    return np.dot(weights, terms)


def views(count=6, dim=3):
    generator = np.random.default_rng(0)
    first = generator.normal(scale=[0.3, 1.0, 2.0], size=(count, dim))
    return first, first + 0.5 * generator.normal(size=(count, dim))


def together(first, second):
    return np.concatenate([first, second]).astype("float32")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"spread": 2.0, "epsilon": 0.1},
        {"weights": (1.0, 0.0, 0.0)},
        {"weights": (0.0, 1.0, 0.0)},
        {"weights": (0.0, 0.0, 1.0)},
    ],
)
def test_agrees_with_the_formula(changes):
    arguments = dict(changes)
    names = "invariance_weight", "variance_weight", "covariance_weight"
    arguments.update(zip(names, arguments.pop("weights", ()), strict=False))
    value = VICReg(**arguments)(np.tile(np.arange(6), 2), together(*views()))
    np.testing.assert_allclose(value, formula(*views(), **changes), rtol=1e-5)


def test_value_worked_by_hand():
    # Views (0, 0), (2, 2) and (1, 0), (3, 2): all differences are 1 in the first
    # coordinate, so half a mean square; all variances and covariances are 2, so no
    # deviation is below 1; and of either view two covariances of 2^2, over d = 2.
    embeddings = np.array([[0, 0], [2, 2], [1, 0], [3, 2]], "float32")
    value = VICReg()(np.array([0, 1, 0, 1]), embeddings)
    np.testing.assert_allclose(value, 25 * 0.5 + 4 + 4, rtol=1e-6)


def test_reads_views_by_label_wherever_they_stand():
    first, second = views()
    labels = np.repeat([7, 1, 4, 0, 9, 3], 2)
    adjacent = np.stack([first, second], axis=1).reshape(12, 3).astype("float32")
    np.testing.assert_allclose(
        VICReg()(labels, adjacent), formula(first, second), rtol=1e-5
    )


def test_an_example_without_a_partner_takes_no_part():
    first, second = views()
    # A third of image 0, one alone, and one without a number.
    labels = np.array([*range(6), *range(6), 0, 8, -1])
    embeddings = np.concatenate([together(first, second), np.full((3, 3), 50.0)])
    loss = VICReg()
    value, gradient = value_and_gradient(
        lambda x: loss(labels, x), embeddings.astype("float32")
    )
    np.testing.assert_allclose(value, formula(first, second), rtol=1e-5)
    assert (gradient[12:] == 0).all() and (gradient[:12] != 0).any(axis=1).all()


def test_where_each_view_is_one_point_nothing_says_which_way_to_spread():
    labels, points = np.array([0, 1, 0, 1]), np.ones((4, 3), "float32")
    loss = VICReg()
    value, gradient = value_and_gradient(lambda x: loss(labels, x), points)
    np.testing.assert_allclose(value, 25 * (1 - 0.01), rtol=1e-6)
    assert (gradient == 0).all()


def test_a_batch_without_pairs_costs_nothing():
    assert VICReg()(np.arange(4), np.eye(4, dtype="float32")) == 0


@pytest.mark.parametrize(
    "bad", [{"variance_weight": -1.0}, {"spread": 0.0}, {"epsilon": 0.0}]
)
def test_rejects_arguments_out_of_range(bad):
    with pytest.raises(
        ValueError, match="must not be negative, `spread` and `epsilon`"
    ):
        VICReg(**bad)
