import keras
import numpy as np
import pytest

from kerasdml.regularizers import CenterInvariant, RegularFace, SparseCenters
from tests.conftest import compiled, value_and_gradient

EACH = [CenterInvariant(weight=0.5), RegularFace(), SparseCenters(per_class=3)]
each = pytest.mark.parametrize("regularizer", EACH, ids=lambda r: type(r).__name__)


def proxies(seed=0, count=12):
    return np.random.default_rng(seed).normal(size=(count, 4)).astype("float32")


def unit(x):
    x = np.asarray(x, "float64")
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.parametrize("seed", range(2))
def test_center_invariant_agrees_with_the_formula(seed):
    squares = [float(np.sum(p.astype("float64") ** 2)) for p in proxies(seed)]
    mean = sum(squares) / 12
    expected = 0.5 * sum((s - mean) ** 2 / 4 for s in squares) / 12
    value = CenterInvariant(weight=0.5)(proxies(seed))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_center_invariant_worked_by_hand():
    # Squared lengths 25 and 1 are 12 from their mean: 144 / 4.
    x = np.array([[3.0, 4.0], [0.0, 1.0]], "float32")
    np.testing.assert_allclose(CenterInvariant()(x), 36.0)


# Beyond 256 proxies they are compared in parts, the last of which is shorter.
@pytest.mark.parametrize("count", [2, 12, 256, 300, 513])
def test_regular_face_agrees_with_the_formula(count):
    x = unit(proxies(count=count))
    largest = [max(np.delete(x @ p, i)) for i, p in enumerate(x)]
    value = RegularFace(weight=2.0)(proxies(count=count))
    np.testing.assert_allclose(value, 2 * np.mean(largest), rtol=1e-5)


def test_regular_face_worked_by_hand():
    # At 0, 60 and 180 degrees the closest are 60, 60 and 120 away: (1/2 + 1/2 - 1/2)/3.
    angles = np.radians([0, 60, 180])
    x = np.stack([2 * np.cos(angles), 2 * np.sin(angles)], axis=1).astype("float32")
    np.testing.assert_allclose(RegularFace()(x), 1 / 6, rtol=1e-5)


@pytest.mark.parametrize("per_class", [2, 3, 4])
def test_sparse_centers_agrees_with_the_formula(per_class):
    of_classes = unit(proxies()).reshape(-1, per_class, 4)
    distances = [
        np.linalg.norm(a - b)
        for points in of_classes
        for i, a in enumerate(points)
        for b in points[:i]
    ]
    regularizer = SparseCenters(per_class=per_class)
    np.testing.assert_allclose(regularizer(proxies()), np.mean(distances) / 2, 1e-5)
    in_classes = proxies().reshape(-1, per_class, 4)
    np.testing.assert_allclose(regularizer(in_classes), np.mean(distances) / 2, 1e-5)


def test_sparse_centers_worked_by_hand():
    # One class has its two proxies at a right angle, sqrt(2) apart, the other opposite,
    # 2 apart: half of the mean is (1.414214 + 2) / 4.
    x = np.array([[1, 0], [0, 3], [2, 0], [-1, 0]], "float32")
    value = SparseCenters(per_class=2)(x)
    np.testing.assert_allclose(value, 0.853553, rtol=1e-5)


@each
def test_proxies_that_are_equal_or_zero_have_a_finite_gradient(regularizer):
    for x in (np.ones((12, 4), "float32"), np.zeros((12, 4), "float32")):
        value, gradient = value_and_gradient(regularizer, x)
        assert np.isfinite(value) and np.isfinite(gradient).all()


@each
def test_xla_agrees_with_eager(regularizer):
    expected, slopes = value_and_gradient(regularizer, proxies())
    value, gradient = value_and_gradient(compiled(regularizer), proxies())
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-6)


@each
def test_gradient_goes_down(regularizer):
    x = proxies()
    value, gradient = value_and_gradient(regularizer, x)
    assert regularizer(x - 1e-3 * gradient) < value


@each
def test_config_round_trip(regularizer):
    config = keras.regularizers.serialize(regularizer)
    twin = keras.regularizers.deserialize(config)
    assert type(twin) is type(regularizer)
    assert twin.get_config() == regularizer.get_config()


def test_rejects_one_proxy_a_class():
    with pytest.raises(ValueError, match="at least 2.*Received: per_class=1"):
        SparseCenters(per_class=1)


def test_rejects_proxies_that_make_no_whole_classes():
    with pytest.raises(ValueError, match="multiple of `per_class=5`. Received: 12"):
        SparseCenters(per_class=5)(proxies())
