import numpy as np
import pytest

from kerasdml.ops import center_distances, class_similarities
from tests.conftest import value_and_gradient

S = np.array([[0.9, 0.1, -0.5, 0.2, 0.2, 0.2]], "float32")


@pytest.mark.parametrize(
    "temperature, expected",
    [(1e-6, [0.9, 0.2]), (float("inf"), [0.5 / 3, 0.2])],
)
def test_a_class_is_between_its_closest_center_and_their_mean(temperature, expected):
    found = class_similarities(S, 3, temperature)
    np.testing.assert_allclose(found, [expected], rtol=1e-6)


def test_similarity_worked_by_hand():
    # Cosines 1 and 0 at a temperature of 1: 1 / (1 + e^-1).
    found = class_similarities(np.array([[1.0, 0.0]], "float32"), 2, 1.0)
    np.testing.assert_allclose(found, [[0.7310586]], rtol=1e-6)


def test_distances_worked_by_hand():
    # Of class 0 at 0 and 60 degrees: 1. Of class 1 at 0 and 180: 2, whatever the
    # lengths. Half the mean is 0.75; 1e-5 under the root adds little.
    centers = np.array([(1, 0), (0.5, 0.75**0.5), (3, 0), (-2, 0)], "float32")
    np.testing.assert_allclose(center_distances(centers, 2), 0.75, rtol=1e-5)
    # Of three, 1, 2 and sqrt(3).
    centers = np.array([(1, 0), (0.5, 0.75**0.5), (-1, 0)], "float32")
    expected = (1 + 2 + 3**0.5) / 3 / 2
    np.testing.assert_allclose(center_distances(centers, 3), expected, rtol=1e-5)
    np.testing.assert_array_equal(center_distances(centers, 1), 0)


@pytest.mark.parametrize("centers", [np.ones((4, 3)), np.zeros((4, 3))])
def test_equal_centers_have_a_finite_gradient(centers):
    def distances(x):
        return center_distances(x, 2)

    value, gradient = value_and_gradient(distances, centers.astype("float32"))
    assert np.isfinite(value) and np.isfinite(gradient).all()
