import numpy as np
import pytest

from kerasdml.losses import ArcFace, SubCenterArcFace
from tests.losses.margin_formulas import batch_and_proxies, margin_softmax, unit


def formula(x, labels, proxies, per_class, scale, margin):
    """The costs, the closest proxy of each class found one by one, in float64."""
    cosines = unit(x) @ unit(proxies).T
    closest = [
        [max(row[k * per_class : (k + 1) * per_class]) for k in range(4)]
        for row in cosines
    ]

    def own(i, angle):
        if angle + margin < np.pi:
            return np.cos(angle + margin)
        return np.cos(angle) - margin * np.sin(margin)

    return margin_softmax(np.array(closest), labels, scale, own)


@pytest.mark.parametrize("per_class", [2, 3])
@pytest.mark.parametrize("seed", range(2))
def test_agrees_with_the_formula(with_proxies, seed, per_class):
    labels, x, proxies = batch_and_proxies(seed, dim=3, per_class=per_class)
    loss = SubCenterArcFace(num_classes=4, per_class=per_class, reduction="none")
    costs = with_proxies(loss, proxies)(labels, x)
    expected = formula(x, labels, proxies, per_class, 64.0, 0.5)
    np.testing.assert_allclose(costs, expected, rtol=1e-4, atol=1e-4)


def test_one_proxy_a_class_is_arc_face(with_proxies):
    labels, x, proxies = batch_and_proxies(0)
    loss = SubCenterArcFace(num_classes=4, per_class=1)
    expected = with_proxies(ArcFace(num_classes=4), proxies)(labels, x)
    np.testing.assert_allclose(with_proxies(loss, proxies)(labels, x), expected)


def test_copies_of_one_proxy_are_one_proxy(with_proxies):
    labels, x, proxies = batch_and_proxies(0)
    loss = SubCenterArcFace(num_classes=4, per_class=3)
    value = with_proxies(loss, np.repeat(proxies, 3, axis=0))(labels, x)
    expected = with_proxies(ArcFace(num_classes=4), proxies)(labels, x)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_value_worked_by_hand(with_proxies):
    # The embedding is at 60 and 90 degrees from its class's proxies and at 30 and 120
    # from the other's. With a margin of 30 degrees and scale 2, the logits of the
    # closest are 2 cos 90 = 0 and 2 cos 30 = 1.732051: log(1 + e^1.732051).
    degrees = np.radians([0, 150, 90, 180])
    proxies = np.stack([np.cos(degrees), np.sin(degrees)], axis=1)
    x = np.array([[0.5, np.sqrt(0.75)]], "float32")
    loss = SubCenterArcFace(num_classes=2, per_class=2, scale=2.0, margin=np.pi / 6)
    value = with_proxies(loss, proxies)(np.array([0]), x)
    np.testing.assert_allclose(value, 1.894953, rtol=1e-6)


def test_only_the_closest_proxy_of_a_class_is_moved(pair_gradient):
    similarities = np.array([[0.1, 0.3, -0.2, 0.2, 0.5, 0.4]])
    own = np.array([[True, True, True, False, False, False]])
    loss = SubCenterArcFace(num_classes=2, per_class=3, scale=2.0)
    gradient = pair_gradient(loss, similarities, own, ~own)[0]
    assert gradient[1] < 0 < gradient[4]
    assert (gradient[[0, 2, 3, 5]] == 0).all()


def test_rejects_no_proxy_a_class():
    with pytest.raises(ValueError, match="each class has. Received: per_class=0"):
        SubCenterArcFace(num_classes=3, per_class=0)
