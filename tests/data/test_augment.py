import numpy as np
import pytest
import tensorflow as tf

from kerasdml import data

STILL = {"flip": False, "scale": (1.0, 1.0)}


def draws(**values):
    """Numbers in the middle of every range, but for those given."""
    names = ["flip", "scale", "x", "y", "rotate", "shear", "brightness"]
    row = [values.get(name, 0.5) for name in names]
    return np.array([row], "float32")


def view(picture, window):
    """`picture (h, w)` through `window`, a 3 x 3 map from result to picture."""
    height, width = picture.shape

    def pixel(y, x):  # mirrored at the edges: 2 1 0 | 0 1 2 | 2 1 0
        y, x = y % (2 * height), x % (2 * width)
        return picture[min(y, 2 * height - 1 - y), min(x, 2 * width - 1 - x)]

    result = np.zeros(picture.shape)
    for i in range(height):
        for j in range(width):
            x, y, _ = window @ [j, i, 1.0]
            left, top = int(np.floor(x)), int(np.floor(y))
            for row, wy in ((top, top + 1 - y), (top + 1, y - top)):
                for column, wx in ((left, left + 1 - x), (left + 1, x - left)):
                    result[i, j] += wy * wx * pixel(row, column)
    return result


def move(x, y):
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def test_agrees_with_a_window_drawn_pixel_by_pixel():
    picture = np.random.default_rng(0).uniform(0, 255, (9, 12))
    augment = data.Augment(
        flip=True, scale=(0.6, 1.4), shift=0.1, rotate=30, shear=20, brightness=0.4
    )
    numbers = draws(
        flip=0.3, scale=0.25, x=0.9, y=0.2, rotate=0.8, shear=0.1, brightness=0.25
    )
    # scale 0.6 + 0.25 * 0.8 = 0.8; a window that small may lie 0.1 of a side off the
    # middle and still be inside, and `shift` gives 0.1 more; the other draws go from -1
    # to 1, so x = 0.8, y = -0.6, rotate = 0.6, shear = -0.8, brightness = -0.5.
    angle, slant = np.radians(18), np.tan(np.radians(-16))
    turn = [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0]]
    window = (
        move(5.5 + 0.8 * 0.2 * 12, 4.0 - 0.6 * 0.2 * 9)
        @ np.diag([0.8, 0.8, 1.0])
        @ np.array([*turn, [0, 0, 1.0]])
        @ np.array([[1, slant, 0], [0, 1, 0], [0, 0, 1.0]])
        @ np.diag([-1, 1, 1.0])
        @ move(-5.5, -4.0)
    )
    expected = np.clip(view(picture, window) * 0.8, 0, 255)
    result = augment(tf.constant(picture[None, ..., None], tf.float32), numbers)
    # Places are float32: errors of 1e-6 pixels times steps of up to 255 a pixel.
    np.testing.assert_allclose(result[0, ..., 0], expected, atol=5e-3)


def test_half_of_the_draws_mirror():
    picture = np.arange(24, dtype="float32").reshape(1, 4, 6, 1)
    augment = data.Augment(scale=(1.0, 1.0))
    mirrored = augment(picture, draws(flip=0.49))
    np.testing.assert_allclose(mirrored, picture[:, :, ::-1], atol=1e-5)
    np.testing.assert_allclose(augment(picture, draws(flip=0.5)), picture, atol=1e-5)


def test_a_window_at_its_least_draw_touches_the_corner():
    # Half the side of 8 pixels: from the left edge at -0.5, columns half a pixel apart
    # from -0.25 on, of which the first lies between column 0 and its mirror image.
    ramp = np.broadcast_to(np.arange(8.0)[None, None, :, None], (1, 8, 8, 1))
    augment = data.Augment(flip=False, scale=(0.5, 0.5))
    result = augment(tf.constant(ramp, tf.float32), draws(x=0.0, y=0.0))
    expected = np.maximum(-0.25 + 0.5 * np.arange(8), 0)
    np.testing.assert_allclose(result[0, 3, :, 0], expected, atol=1e-5)


def test_the_smallest_amounts_leave_pictures_as_they_are():
    pictures = np.random.default_rng(0).uniform(0, 255, (3, 5, 6, 3)).astype("float32")
    numbers = np.random.default_rng(1).uniform(size=(3, 7)).astype("float32")
    result = data.Augment(**STILL)(pictures, numbers)
    np.testing.assert_allclose(result, pictures, atol=1e-3)


def test_beyond_the_picture_lies_its_mirror_image_or_black():
    # A window twice as wide as 4 columns sees the places -1.5, 0.5, 2.5 and 4.5. The
    # first is between columns -2 and -1, which mirror 1 and 0; so is the second.
    picture = np.tile(np.array([10, 20, 30, 40], "float32"), (1, 4, 1))[..., None]
    double = {"flip": False, "scale": (2.0, 2.0)}
    mirrored = data.Augment(**double)(picture, draws())[0, 1, :, 0]
    np.testing.assert_allclose(mirrored, [15, 15, 35, 35], atol=1e-4)
    black = data.Augment(**double, outside="black")(picture, draws())[0, 1, :, 0]
    np.testing.assert_allclose(black, [0, 15, 35, 0], atol=1e-4)


def test_brightness_stays_within_the_range_of_pictures():
    pictures = np.full((1, 2, 2, 1), 200, "float32")
    augment = data.Augment(**STILL, brightness=0.5)
    np.testing.assert_allclose(augment(pictures, draws(brightness=1.0)), 255.0)
    np.testing.assert_allclose(augment(pictures, draws(brightness=0.0)), 100.0)


def test_each_picture_follows_its_own_draws():
    rng = np.random.default_rng(2)
    pictures = rng.uniform(0, 255, (4, 8, 8, 1)).astype("float32")
    numbers = rng.uniform(size=(4, 7)).astype("float32")
    augment = data.Augment(rotate=20, shear=10, shift=0.1, brightness=0.3)
    together = augment(pictures, numbers)
    for i in range(4):
        alone = augment(pictures[i : i + 1], numbers[i : i + 1])
        np.testing.assert_allclose(together[i], alone[0], atol=1e-4)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"scale": (0.0, 1.0)}, r"0 < least <= greatest. Received: scale=\(0.0, 1.0\)"),
        ({"scale": (1.0, 0.5)}, "0 < least <= greatest"),
        ({"scale": 0.5}, "must be a pair of sides.* Received: scale=0.5"),
        ({"shift": -0.1}, "`shift` must be at least 0.* Received: shift=-0.1"),
        ({"rotate": 181}, "`rotate` must be from 0 to 180. Received: rotate=181"),
        ({"shear": 90}, "`shear` must be from 0 to below 90"),
        ({"outside": "white"}, 'must be "mirror" or "black". Received: \'white\''),
        ({"brightness": 1.0}, "`brightness` must be from 0 to below 1"),
    ],
)
def test_amounts_out_of_range_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        data.Augment(**bad)
