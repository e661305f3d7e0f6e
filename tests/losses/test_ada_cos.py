import numpy as np
import pytest

from kerasdml.losses import AdaCos
from kerasdml.step import step
from tests.losses.margin_formulas import batch_and_proxies, cross_entropy, unit

FIXED = np.sqrt(2) * np.log(3)


def steepest(cosines, labels, scale):
    """The next scale, by the angles themselves, in float64."""
    angles, rows = np.arccos(cosines), range(len(labels))
    total = sum(
        np.exp(scale * cosines[i, k]) for i in rows for k in range(4) if k != labels[i]
    )
    own = sorted(angles[i, labels[i]] for i in rows)
    median = own[(len(own) - 1) // 2]
    return np.log(total / len(labels)) / np.cos(min(median, np.pi / 4))


@pytest.mark.parametrize("seed", range(2))
def test_agrees_with_the_formula_step_by_step(with_proxies, seed):
    labels, x, proxies = batch_and_proxies(seed)
    cosines = unit(x) @ unit(proxies).T
    loss = with_proxies(AdaCos(num_classes=4, reduction="none"), proxies)
    scale = FIXED
    for _ in range(3):
        scale = steepest(cosines, labels, scale)
        with step.of({}, training=True):
            costs = loss(labels, x)
        expected = cross_entropy(scale * cosines, labels)
        np.testing.assert_allclose(costs, expected, rtol=1e-4)
        np.testing.assert_allclose(loss.scale.value, scale, rtol=1e-5)


def test_a_small_median_angle_counts(with_proxies):
    # Embeddings at 0, 10, 20 and 30 degrees from their proxies: the median is 10.
    degrees = np.radians([0, 90, 180, 270])
    proxies = np.stack([np.cos(degrees), np.sin(degrees)], axis=1)
    turned = degrees + np.radians([0, 10, 20, 30])
    x = np.stack([np.cos(turned), np.sin(turned)], axis=1).astype("float32")
    loss = with_proxies(AdaCos(num_classes=4), proxies)
    with step.of({}, training=True):
        loss(np.arange(4), x)
    expected = steepest(x.astype("float64") @ proxies.T, np.arange(4), FIXED)
    np.testing.assert_allclose(loss.scale.value, expected, rtol=1e-5)


@pytest.mark.parametrize("dynamic, training", [(False, True), (True, False)])
def test_the_fixed_scale_is_that_of_a_quarter_turn(with_proxies, dynamic, training):
    labels, x, proxies = batch_and_proxies(0)
    loss = with_proxies(AdaCos(num_classes=4, dynamic=dynamic), proxies)
    with step.of({}, training=training):
        value = loss(labels, x)
    expected = np.mean(cross_entropy(FIXED * unit(x) @ unit(proxies).T, labels))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(loss.scale.value, FIXED, rtol=1e-6)


def test_examples_without_a_class_do_not_count(with_proxies):
    labels, x, proxies = batch_and_proxies(0)
    scales = []
    for kept in (slice(0, 9), slice(None)):
        loss = with_proxies(AdaCos(num_classes=4), proxies)
        known = np.where(np.arange(24) < 9, labels, -1)[kept]
        with step.of({}, training=True):
            loss(known, x[kept])
            scales.append(float(loss.scale.value))
            loss(-np.ones(3, int), x[:3])
        assert float(loss.scale.value) == scales[-1]
    np.testing.assert_allclose(scales[0], scales[1], rtol=1e-6)


def test_rejects_two_classes():
    with pytest.raises(ValueError, match="at least 3.*Received: num_classes=2"):
        AdaCos(num_classes=2)
