import numpy as np
import pytest

from kerasdml.ops import (
    of_own,
    softmax_costs,
    with_angle_added,
    with_angle_multiplied,
)
from tests.conftest import value_and_gradient

ANGLES = np.linspace(0.0, np.pi, 31)


@pytest.mark.parametrize("angle", [0.0, 0.5, 1.5])
def test_angle_added_falls_throughout(angle):
    values = np.asarray(with_angle_added(np.cos(ANGLES).astype("float32"), angle))
    before = ANGLES + angle < np.pi - 0.01
    np.testing.assert_allclose(
        values[before], np.cos(ANGLES + angle)[before], atol=1e-6
    )
    assert (np.diff(values) <= 1e-6).all()


@pytest.mark.parametrize("factor", [1.0, 1.5, 4])
def test_angle_multiplied_falls_throughout(factor):
    cosines = np.cos(ANGLES).astype("float32")
    values = np.asarray(with_angle_multiplied(cosines, factor))
    before = factor * ANGLES < np.pi
    # The angle of a cosine is known to a few 1e-4 near 0.
    np.testing.assert_allclose(
        values[before], np.cos(factor * ANGLES)[before], atol=1e-5
    )
    assert (np.diff(values) <= 1e-5).all()
    if factor == 4:
        # At pi, k is 4, or 3 by rounding, and both give cos(4 pi) - 2 * 4 = -7.
        np.testing.assert_allclose(values[-1], -7.0, atol=1e-3)


@pytest.mark.parametrize("way", [with_angle_added, with_angle_multiplied])
@pytest.mark.parametrize("cosine", [-1.0, 0.0, 1.0, 1.0000001])
def test_slopes_are_finite_at_the_ends(way, cosine):
    x = np.array([[cosine]], "float32")
    value, slope = value_and_gradient(lambda c: way(c, 1.4)[0, 0], x)
    assert np.isfinite(value) and np.isfinite(slope).all()


@pytest.mark.parametrize("factor", [1.0, 1.5, 4])
def test_at_equality_the_slope_of_a_multiplied_angle_is_its_limit(factor):
    # cos(m theta) is 1 - m^2 theta^2 / 2, and cos(theta) is 1 - theta^2 / 2.
    for cosine in (1.0, 1.0 - 1e-6):
        x = np.array([[cosine]], "float32")
        _, slope = value_and_gradient(
            lambda c: with_angle_multiplied(c, factor)[0, 0], x
        )
        np.testing.assert_allclose(slope, [[factor**2]], rtol=1e-4)


def test_a_row_without_a_class_has_no_cost():
    x = np.array([[1.0, 2.0], [3.0, 4.0]], "float32")
    own = np.array([[False, True], [False, False]])
    others = np.array([[True, False], [False, False]])
    np.testing.assert_array_equal(of_own(x, own), [[2.0], [0.0]])
    costs = softmax_costs(of_own(x, own), x, own, others)
    np.testing.assert_allclose(costs, [np.log1p(np.exp(-1.0)), 0.0], rtol=1e-6)
