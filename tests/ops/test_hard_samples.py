import numpy as np
import pytest
from keras import ops

from kerasdml.ops.hard_samples import reverse_triplet_hinge, stretched_pairs
from tests.conftest import value_and_gradient


def stretched(anchor, positive, reach, rho, limit=None):
    pair = np.array([anchor], "float32"), np.array([positive], "float32")
    found = stretched_pairs(*pair, np.array([reach], "float32"), rho, limit)
    return [ops.convert_to_numpy(x)[0] for x in found]


@pytest.mark.parametrize(
    "reach, rho, limit, ends",
    [
        # 0.5 * 0.4 + 0.5 * 1 = 0.7, about the middle 0.2.
        pytest.param(1.0, 0.5, None, (-0.15, 0.55), id="half way to the negative"),
        pytest.param(1.0, 1.0, None, (0.0, 0.4), id="not at all"),
        pytest.param(1.0, 0.0, None, (-0.3, 0.7), id="as far as the negative"),
        pytest.param(0.3, 0.0, None, (0.0, 0.4), id="farther already"),
        pytest.param(1.0, 0.0, 1.5, (-0.1, 0.5), id="at most 1.5 times as far"),
    ],
)
def test_pairs_are_pulled_apart_about_their_middle(reach, rho, limit, ends):
    a, p, distance = stretched((0, 0), (0.4, 0), reach, rho, limit)
    np.testing.assert_allclose([a[0], p[0]], ends, atol=1e-6)
    np.testing.assert_allclose([a[1], p[1]], 0, atol=1e-6)
    np.testing.assert_allclose(distance, ends[1] - ends[0], rtol=1e-5)


def test_equal_points_stay_and_have_a_finite_gradient():
    a, p, distance = stretched((1, 2), (1, 2), 3, 0.0)
    np.testing.assert_array_equal([a, p], [(1, 2), (1, 2)])
    assert distance == 0

    def total(x):
        ends = stretched_pairs(x, ops.ones_like(x), np.full(1, 3.0, "float32"), 0.0)
        return sum(map(ops.sum, ends))

    _, gradient = value_and_gradient(total, np.ones((1, 2), "float32"))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("slack, expected", [(0.42, 0.0), (0.0, 0.32), (0.1, 0.22)])
def test_a_negative_is_to_be_closer_than_the_positive_but_for_the_slack(
    slack, expected
):
    # Squared distances of 0.9² = 0.81 and 0.7² = 0.49.
    a, p, n = np.array([[[0.0, 0]], [[0.7, 0]], [[0, 0.9]]], "float32")
    np.testing.assert_allclose(
        reverse_triplet_hinge(a, p, n, slack), [expected], atol=1e-6
    )
