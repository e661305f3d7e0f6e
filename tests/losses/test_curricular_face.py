import numpy as np
import pytest

from kerasdml.losses import ArcFace, CurricularFace
from kerasdml.step import step
from tests.losses.margin_formulas import batch_and_proxies, cross_entropy, unit


def formula(x, labels, proxies, t, scale, margin):
    """The costs, one example and one class at a time, in float64."""
    cosines = np.clip(unit(x) @ unit(proxies).T, -1, 1)
    logits = np.array(cosines)
    for i, y in enumerate(labels):
        angle = np.arccos(cosines[i, y])
        for k, c in enumerate(cosines[i]):
            if c > np.cos(angle + margin):
                logits[i, k] = c * (t + c)
        logits[i, y] = np.cos(angle + margin)
        if angle + margin > np.pi:
            logits[i, y] = cosines[i, y] - margin * np.sin(margin)
    return cross_entropy(scale * logits, labels)


@pytest.mark.parametrize("scale, margin", [(64.0, 0.5), (8.0, 1.2)])
@pytest.mark.parametrize("seed", range(2))
def test_agrees_with_the_formula_step_by_step(with_proxies, seed, scale, margin):
    labels, x, proxies = batch_and_proxies(seed)
    loss = CurricularFace(
        num_classes=4, scale=scale, margin=margin, rate=0.3, reduction="none"
    )
    loss = with_proxies(loss, proxies)
    own = (unit(x) @ unit(proxies).T)[np.arange(24), labels]
    t = 0.0
    for _ in range(3):
        t = 0.3 * np.mean(own) + 0.7 * t
        with step.of({}, training=True):
            costs = loss(labels, x)
        expected = formula(x, labels, proxies, t, scale, margin)
        np.testing.assert_allclose(costs, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(loss.t.value, t, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(loss(labels, x), costs, rtol=1e-6)
    np.testing.assert_allclose(loss.t.value, t, rtol=1e-4, atol=1e-6)


def test_value_worked_by_hand(with_proxies):
    # At 60 degrees from its proxy and 30 from the other, with a margin of 30 degrees
    # and scale 2: the own logit is 2 cos 90 = 0. The other is hard, and with t = 0.5
    # its logit is 2 * 0.866025 * 1.366025 = 2.366025: log(1 + e^2.366025).
    x = np.array([[0.5, np.sqrt(0.75)]], "float32")
    loss = CurricularFace(num_classes=2, scale=2.0, margin=np.pi / 6)
    loss = with_proxies(loss, np.eye(2))
    loss.t.value.assign(0.5)
    np.testing.assert_allclose(loss(np.array([0]), x), 2.455732, rtol=1e-6)


def test_without_hard_classes_it_is_arc_face(with_proxies):
    proxies = np.array([[1.0, 0.0], [-1.0, 0.1], [-1.0, -0.1]])
    x = np.array([[1.0, 0.3]], "float32")
    expected = with_proxies(ArcFace(num_classes=3, scale=2.0), proxies)([0], x)
    loss = with_proxies(CurricularFace(num_classes=3, scale=2.0), proxies)
    np.testing.assert_allclose(loss([0], x), expected)


def test_the_average_takes_no_part_in_the_gradient(one_anchor, pair_gradient):
    # With rate 1 and scale 1, t is the own cosine 0.5; the other class, at 0.8, is hard
    # and its logit 0.8 * 1.3 has slope 0.5 + 1.6.
    loss = CurricularFace(num_classes=2, scale=1.0, margin=0.0, rate=1.0)
    loss.build(2)
    with step.of({}, training=True):
        gradient = pair_gradient(loss, *one_anchor([0.5], [0.8]))
    share = np.exp(1.04) / (np.exp(0.5) + np.exp(1.04))
    np.testing.assert_allclose(gradient, [[-share, 2.1 * share]], rtol=1e-5)


def test_a_batch_without_classes_leaves_the_average(with_proxies):
    loss = with_proxies(CurricularFace(num_classes=2), np.eye(2))
    loss.t.value.assign(0.5)
    with step.of({}, training=True):
        loss(np.array([-1, -1]), np.eye(2, dtype="float32"))
    assert float(loss.t.value) == 0.5


@pytest.mark.parametrize("bad", [{"scale": 0.0}, {"margin": -0.1}, {"margin": 1.6}])
def test_rejects_what_is_out_of_range(bad):
    message = r"`margin` an angle in \[0, pi / 2\). Received: scale="
    with pytest.raises(ValueError, match=message):
        CurricularFace(num_classes=3, **bad)


def test_rejects_a_rate_that_is_no_share():
    with pytest.raises(ValueError, match=r"in \(0, 1\]. Received: rate=0"):
        CurricularFace(num_classes=3, rate=0)
