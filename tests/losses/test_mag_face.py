import numpy as np
import pytest

from kerasdml.losses import ArcFace, MagFace
from tests.conftest import value_and_gradient
from tests.losses.margin_formulas import batch_and_proxies, margin_softmax, unit


def formula(x, labels, proxies, length_weight):
    """The costs by the angles themselves, in float64, with the paper's constants."""
    lengths = np.clip(np.linalg.norm(np.asarray(x, "float64"), axis=1), 10, 110)
    margins = (0.8 - 0.45) / (110 - 10) * (lengths - 10) + 0.45

    def own(i, angle):
        if angle + margins[i] < np.pi:
            return np.cos(angle + margins[i])
        return np.cos(angle) - margins[i] * np.sin(margins[i])

    costs = margin_softmax(unit(x) @ unit(proxies).T, labels, 64.0, own)
    return costs + length_weight * (lengths / 110**2 + 1 / lengths)


@pytest.mark.parametrize("length_weight", [0.0, 35.0])
@pytest.mark.parametrize("seed", range(2))
def test_agrees_with_the_formula(with_proxies, seed, length_weight):
    labels, x, proxies = batch_and_proxies(seed)
    x *= 60
    loss = MagFace(num_classes=4, length_weight=length_weight, reduction="none")
    costs = with_proxies(loss, proxies)(labels, x)
    expected = formula(x, labels, proxies, length_weight)
    np.testing.assert_allclose(costs, expected, rtol=1e-4, atol=1e-4)


def test_value_worked_by_hand(with_proxies):
    # Of length 2, halfway from 1 to 3, so the margin is 30 degrees, halfway from 20 to
    # 40; at 60 degrees from its proxy and 30 from the other: log(1 + e^1.732051) at
    # scale 2, as of ArcFace. The reward is 0.9 (2 / 9 + 1 / 2) = 0.65.
    x = np.array([[1.0, np.sqrt(3.0)]], "float32")
    loss = MagFace(
        num_classes=2,
        scale=2.0,
        shortest=1.0,
        longest=3.0,
        margin=np.radians(20),
        longest_margin=np.radians(40),
        length_weight=0.9,
    )
    value = with_proxies(loss, np.eye(2))(np.array([0]), x)
    np.testing.assert_allclose(value, 1.894953 + 0.65, rtol=1e-6)


def test_of_one_margin_and_without_reward_it_is_arc_face(with_proxies):
    labels, x, proxies = batch_and_proxies(0)
    loss = MagFace(num_classes=4, margin=0.5, longest_margin=0.5, length_weight=0.0)
    value = with_proxies(loss, proxies)(labels, 30 * x)
    expected = with_proxies(ArcFace(num_classes=4), proxies)(labels, x)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_an_easy_example_grows_and_a_hard_one_shrinks(with_proxies):
    loss = with_proxies(MagFace(num_classes=2), np.eye(2))
    x = np.array([[40.0, 0.0], [28.0, 28.5]], "float32")
    labels = np.array([0, 0])
    _, gradient = value_and_gradient(lambda e: loss(labels, e), x)
    along = np.sum(gradient * x, axis=1)
    assert along[0] < 0 < along[1]


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"scale": 0.0}, "`scale` must be positive"),
        ({"length_weight": -1.0}, "`length_weight` not negative"),
        ({"shortest": 0.0}, "`shortest` positive and below"),
        ({"longest": 10.0}, "below `longest`. Received: .*longest=10.0"),
        ({"margin": 0.9}, "the second not the smaller. Received: margin=0.9"),
        ({"longest_margin": 1.6}, r"in \[0, pi / 2\)"),
    ],
)
def test_rejects_what_is_out_of_range(bad, message):
    with pytest.raises(ValueError, match=message):
        MagFace(num_classes=3, **bad)
