import numpy as np
import pytest

from kerasdml.losses import AdaFace, ArcFace, CosFace
from kerasdml.step import step
from tests.losses.margin_formulas import batch_and_proxies, margin_softmax, unit


def formula(x, labels, proxies, mean, deviation, scale=64.0, margin=0.4):
    """The costs by the angles themselves, in float64."""
    z = 0.333 * (np.linalg.norm(x, axis=1) - mean) / (deviation + 0.001)
    z = np.clip(z, -1, 1)

    def own(i, angle):
        angle = np.clip(angle - margin * z[i], 0, np.pi)
        return np.cos(angle) - margin * (1 + z[i])

    return margin_softmax(unit(x) @ unit(proxies).T, labels, scale, own)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_formula_step_by_step(with_proxies, seed):
    labels, x, proxies = batch_and_proxies(seed)
    x *= np.exp(np.random.default_rng(seed).normal(size=(24, 1))).astype("float32")
    loss = with_proxies(AdaFace(num_classes=4, rate=0.5, reduction="none"), proxies)
    lengths = np.linalg.norm(x.astype("float64"), axis=1)
    mean, deviation = 20.0, 100.0
    for _ in range(8):
        mean = 0.5 * mean + 0.5 * np.mean(lengths)
        deviation = 0.5 * deviation + 0.5 * np.std(lengths, ddof=1)
        with step.of({}, training=True):
            costs = loss(labels, x)
        expected = formula(x, labels, proxies, mean, deviation)
        np.testing.assert_allclose(costs, expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(loss.mean.value, mean, rtol=1e-5)
    np.testing.assert_allclose(loss.deviation.value, deviation, rtol=1e-5)


def with_quality(loss, proxies, with_proxies, z):
    """The loss where a length of 1 has this quality."""
    loss = with_proxies(loss, proxies)
    loss.mean.value.assign(1.0 - z / 0.333)
    loss.deviation.value.assign(0.999)
    return loss


def test_by_quality_it_is_arc_face_or_cos_face(with_proxies):
    labels, x, proxies = batch_and_proxies(0)
    # Where theta + margin is beyond pi, ArcFace falls on and this does not.
    own = np.sum(unit(x) * unit(proxies)[labels], axis=1)
    labels, x = labels[own > -0.9], unit(x)[own > -0.9].astype("float32")
    for z, other in ((-1.0, ArcFace), (0.0, CosFace)):
        loss = AdaFace(num_classes=4, margin=0.3)
        value = with_quality(loss, proxies, with_proxies, z)(labels, x)
        other = with_proxies(other(num_classes=4, margin=0.3), proxies)
        np.testing.assert_allclose(value, other(labels, x), rtol=1e-4)


def test_value_worked_by_hand(with_proxies):
    # The best quality, at 60 degrees from its proxy and 30 from the other, with a
    # margin of 30 degrees, 0.523599, and scale 2: the own logit is
    # 2 (cos 30 - 2 * 0.523599) = -0.362344 and the other 1.732051: log(1 + e^2.094395).
    x = np.array([[0.5, np.sqrt(0.75)]], "float32")
    loss = AdaFace(num_classes=2, scale=2.0, margin=np.pi / 6)
    value = with_quality(loss, np.eye(2), with_proxies, 1.0)(np.array([0]), x)
    np.testing.assert_allclose(value, 2.210528, rtol=1e-5)


@pytest.mark.parametrize("labels", [[-1, -1], [0, -1]])
def test_a_batch_too_small_leaves_the_averages(with_proxies, labels):
    loss = with_proxies(AdaFace(num_classes=2), np.eye(2))
    with step.of({}, training=True):
        assert np.isfinite(loss(np.array(labels), np.eye(2, dtype="float32")))
    assert float(loss.mean.value) == 20.0 and float(loss.deviation.value) == 100.0


@pytest.mark.parametrize(
    "bad", [{"scale": 0.0}, {"concentration": 0.0}, {"margin": 1.0}, {"margin": -0.1}]
)
def test_rejects_what_is_out_of_range(bad):
    with pytest.raises(ValueError, match=r"in \[0, 1\). Received: scale="):
        AdaFace(num_classes=3, **bad)


def test_rejects_a_rate_that_is_no_share():
    with pytest.raises(ValueError, match=r"in \(0, 1\]. Received: rate=2"):
        AdaFace(num_classes=3, rate=2)
