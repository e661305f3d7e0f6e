import numpy as np
import pytest
from keras import ops as tensors

from kerasdml import ops
from tests.conftest import value_and_gradient


def test_lengths_in_the_ball_worked_by_hand():
    # tanh 1 = 0.7615942; with curvature 0.1 a length of 2.3, where longer ones are cut,
    # goes to tanh(0.72732) / 0.316228 = 1.96512.
    x = np.array([[1, 0], [0, 0], [0, 2.3], [0, -50]], "float32")
    expected = [[0.7615942, 0], [0, 0], [0, 0.980096], [0, -0.980096]]
    np.testing.assert_allclose(ops.exp_at_origin(x), expected, rtol=1e-5)
    wide = ops.exp_at_origin(x[2:], curvature=0.1)
    np.testing.assert_allclose(wide, [[0, 1.96512], [0, -1.96512]], rtol=1e-5)


def test_at_the_centre_the_map_has_the_gradient_of_the_identity():
    w = np.array([[1.0, -2.0], [3.0, 0.5]], "float32")
    for scale in (0.0, 1e-9, 1e-30):
        x = np.full((2, 2), scale, "float32")
        _, gradient = value_and_gradient(
            lambda x: tensors.sum(w * ops.exp_at_origin(x)), x
        )
        np.testing.assert_allclose(gradient, w, rtol=1e-5)


@pytest.mark.parametrize(
    "curvature, expected",
    # 2 artanh |(-x) + y| at curvature 1, and 2 |x - y| as curvature vanishes.
    [(1.0, 1.2842718182), (0.1, 1.1771565002), (1e-6, 1.1661904878)],
)
def test_distances_worked_by_hand(curvature, expected):
    x, y = np.array([[0.3, 0.1]], "float32"), np.array([[-0.2, 0.4]], "float32")
    d = ops.poincare_distances(x, y, curvature)
    np.testing.assert_allclose(d, [[expected]], rtol=1e-5)


def test_distance_from_the_centre_worked_by_hand():
    # 2 artanh 0.5 = log 3
    x, y = np.zeros((1, 2), "float32"), np.array([[0.5, 0]], "float32")
    np.testing.assert_allclose(ops.poincare_distances(x, y), [[np.log(3)]], rtol=1e-6)


def test_distances_of_a_metric():
    generator = np.random.default_rng(0)
    x = ops.exp_at_origin(generator.normal(size=(9, 4)).astype("float32"))
    d = np.array(ops.poincare_distances(x, x))
    np.testing.assert_allclose(d, d.T, rtol=1e-5)
    assert (np.diag(d) == 0).all()
    assert (d[:, :, None] <= d[:, None, :] + d.T[None] + 1e-5).all()


def test_a_point_on_the_rim_is_far_away_at_a_finite_distance():
    x = np.array([[1.0, 0.0], [0.0, 0.0]], "float32")
    value, gradient = value_and_gradient(
        lambda x: tensors.sum(ops.poincare_distances(x, x)), x
    )
    assert 20 < value < 100 and np.isfinite(gradient).all()


@pytest.mark.parametrize("curvature", [1.0, 0.1])
def test_riemannian_gradient_is_scaled_by_the_inverse_metric(curvature):
    x = np.array([[0.0, 0.0], [0.5, 0.0], [0.3, -0.6]], "float32")
    w = np.array([[1.0, -2.0], [3.0, 0.5], [-1.0, 1.0]], "float32")
    value, gradient = value_and_gradient(
        lambda x: tensors.sum(w * ops.with_riemannian_gradient(x, curvature)), x
    )
    np.testing.assert_allclose(value, np.sum(w * x))
    factor = (1 - curvature * np.sum(x**2, axis=1, keepdims=True)) ** 2 / 4
    np.testing.assert_allclose(gradient, factor * w, rtol=1e-6)


def test_distances_stay_under_rotation_and_translation_of_the_ball():
    generator = np.random.default_rng(1)
    x = np.array(ops.exp_at_origin(generator.normal(size=(6, 3)))).astype("float64")
    rotation, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    a = np.array([[0.3, -0.2, 0.1]])
    # The Möbius sum of a and x, at curvature 1.
    ax, aa, xx = x @ a.T, np.sum(a**2), np.sum(x**2, axis=1, keepdims=True)
    moved = ((1 + 2 * ax + xx) * a + (1 - aa) * x) / (1 + 2 * ax + aa * xx)
    expected = np.array(ops.poincare_distances(*[x.astype("float32")] * 2))
    for other in (x @ rotation, moved):
        d = ops.poincare_distances(*[other.astype("float32")] * 2)
        np.testing.assert_allclose(d, expected, rtol=1e-4, atol=1e-5)
