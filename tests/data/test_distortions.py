import numpy as np
import pytest
from PIL import Image, ImageDraw

from kerasdml.data import distortions
from kerasdml.data.distortions import distorted

NOTHING = {
    "_EXTENT": (1, 1),
    "_SHIFT": (0, 0),
    "_STRETCH": (1, 1),
    "_TURN": 0,
    "_SLANT": 0,
    "_BLUR": (0, 0),
    "_INK": (255, 255),
    "_NOISE": (0, 0),
}


@pytest.fixture
def only(monkeypatch):
    """Leaves all amounts at "unchanged" but those given."""

    def choose(**amounts):
        for name, value in (NOTHING | amounts).items():
            monkeypatch.setattr(distortions, name, value)

    return choose


def bar(width=8, height=48):
    image = Image.new("L", (64, 64))
    left, top = (64 - width) // 2, (64 - height) // 2
    box = [left, top, left + width - 1, top + height - 1]
    ImageDraw.Draw(image).rectangle(box, fill=255)
    return image


def views(picture, count=200, size=32, seed=0):
    return distorted([picture] * count, size, np.random.default_rng(seed))


def moments(view):
    """Mass, middle `(x, y)` and covariance of the light in a view."""
    view = view.astype(float)
    y, x = np.indices(view.shape)
    weight = view / view.sum()
    middle = np.array([(weight * x).sum(), (weight * y).sum()])
    apart = np.stack([x - middle[0], y - middle[1]])
    return view.sum(), middle, np.einsum("hw,ihw,jhw->ij", weight, apart, apart)


def test_with_every_amount_at_nothing_a_view_is_the_picture(only):
    only()
    picture = Image.effect_noise((64, 64), 60)
    expected = np.asarray(picture.reduce(2))
    np.testing.assert_array_equal(views(picture, count=2), [expected, expected])


def test_shift_moves_the_middle_by_a_part_of_the_side(only):
    only(_SHIFT=(0.25, 0.25))
    expected = np.roll(np.asarray(bar(8, 8).reduce(2)), (8, 8), axis=(0, 1))
    np.testing.assert_array_equal(views(bar(8, 8), count=1)[0], expected)


def test_extent_is_the_part_of_the_side_that_is_covered(only):
    only(_EXTENT=(0.5, 0.5))
    mass, middle, _ = moments(views(bar(), count=1)[0])
    # 4 x 24 pixels of 255 at full size, a quarter of them at half the side.
    assert mass == pytest.approx(4 * 24 * 255 / 4, rel=0.02)
    np.testing.assert_allclose(middle, 15.5, atol=1e-6)


def angles(seen):
    covariances = np.array([moments(view)[2] for view in seen])
    # Of the long axis against the vertical.
    return np.degrees(np.arctan(covariances[:, 0, 1] / covariances[:, 1, 1]))


@pytest.mark.parametrize("amount", ["_TURN", "_SLANT"])
def test_turns_and_slants_reach_their_bounds_on_either_side(only, amount):
    only(**{amount: 12.0})
    seen = angles(views(bar(2, 48)))
    assert -12.5 < seen.min() < -11
    assert 11 < seen.max() < 12.5


def test_stretch_is_of_width_over_height(only):
    only(_STRETCH=(4, 4))
    _, _, covariance = moments(views(bar(12, 48), count=1)[0])
    # 12 : 48 times 4 is a square, sqrt(12 * 48) = 24, or 12 pixels of the view:
    # variance (12² - 1) / 12.
    np.testing.assert_allclose(covariance, np.eye(2) * 143 / 12, rtol=0.03, atol=0.05)


def test_ink_dims_and_noise_covers_everything(only):
    only(_INK=(140, 140), _NOISE=(10, 10))
    seen = views(bar(32, 32), count=20).astype(float)
    inside = seen[:, 10:22, 10:22]
    # 20 * 144 draws: the error of the mean is 10 / sqrt(2880) = 0.2.
    assert inside.mean() == pytest.approx(140, abs=1)
    assert inside.std() == pytest.approx(10, abs=0.7)
    # Half of the noise on black is cut off at 0.
    assert np.mean(seen[:, :6] > 0) == pytest.approx(0.5, abs=0.03)


def test_blur_spreads_the_light_and_keeps_it(only):
    only(_BLUR=(0.05, 0.05))
    mass, _, covariance = moments(views(bar(2, 32), count=1)[0])
    assert mass == pytest.approx(1 * 16 * 255, rel=0.05)
    # Two half pixels wide at first: variance 1/4 at most; sigma is 0.05 * 32 = 1.6.
    assert covariance[0, 0] == pytest.approx(1.6**2, rel=0.2)


@pytest.mark.parametrize("shape", [(8, 62), (62, 8)], ids=["tall", "wide"])
def test_characters_stay_within_their_views(only, shape):
    kept = ("_EXTENT", "_SHIFT", "_STRETCH", "_TURN", "_SLANT")
    amounts = {name: getattr(distortions, name) for name in kept}
    only(**amounts)
    light = views(bar(*shape), size=128).sum((1, 2), dtype=float)
    # The same views at half the extent have a quarter of the light, unless cut off.
    only(**amounts | {"_EXTENT": tuple(x / 2 for x in amounts["_EXTENT"])})
    quarter = views(bar(*shape), size=128).sum((1, 2), dtype=float)
    np.testing.assert_allclose(light, 4 * quarter, rtol=0.02)


@pytest.mark.parametrize("size", [8, 16, 32])
def test_thin_strokes_stay_whole_at_any_size(only, size):
    only(_SHIFT=(-0.2, 0.2))
    light = views(bar(3, 30), size=size).sum((1, 2), dtype=float)
    # The bar is 3 / 64 by 30 / 64 of the picture, wherever it lies.
    np.testing.assert_allclose(light, 255 * 90 / 64**2 * size**2, rtol=0.02)


def test_one_seed_gives_the_same_bytes_and_another_others():
    again = views(bar(), count=5)
    np.testing.assert_array_equal(views(bar(), count=5), again)
    assert again.dtype == np.uint8
    assert (views(bar(), count=5, seed=1) != again).any(axis=(1, 2)).all()
