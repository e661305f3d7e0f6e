import numpy as np
import pytest
from PIL import Image

from kerasdml.pictures.thumbnails import read_thumbnails, thumbnails


def test_shrinks_to_the_longest_side_and_never_grows():
    assert thumbnails(np.zeros((2, 40, 20, 3), "uint8"), 10).shape == (2, 10, 5, 3)
    assert thumbnails(np.zeros((2, 4, 2, 3), "uint8"), 10).shape == (2, 4, 2, 3)
    assert thumbnails(np.zeros((1, 90, 1, 3), "uint8"), 30).shape == (1, 30, 1, 3)


def test_grey_becomes_rgb_and_alpha_is_dropped():
    grey = np.array([[[0, 100], [200, 255]]], "uint8")
    for images in (grey, grey[..., None]):
        for channel in range(3):
            np.testing.assert_array_equal(thumbnails(images, 2)[..., channel], grey)
    rgba = np.arange(16, dtype="uint8").reshape(1, 2, 2, 4)
    np.testing.assert_array_equal(thumbnails(rgba, 2), rgba[..., :3])


@pytest.mark.parametrize(
    "values, expected",
    [
        ([0.0, 100.4, 255.0], [0, 100, 255]),
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([0.0, 0.0, 0.0], [0, 0, 0]),
        ([-3.0, -3.0, -3.0], [0, 0, 0]),
    ],
)
def test_values_of_any_range_become_bytes(values, expected):
    images = np.array(values, "float32").reshape(1, 1, 3, 1)
    np.testing.assert_array_equal(thumbnails(images, 8)[0, 0, :, 0], expected)


@pytest.mark.parametrize("shape", [(5, 7), (5, 4, 4, 2), (5, 4, 4, 3, 1)])
def test_refuses_what_is_no_image(shape):
    with pytest.raises(ValueError, match="Pictures need images .* Received: shape"):
        thumbnails(np.zeros(shape), 8)


def test_files_of_any_shape_become_squares(tmp_path):
    Image.new("L", (40, 20), 255).save(tmp_path / "wide.png")
    Image.new("RGBA", (3, 6), (255, 0, 0, 255)).save(tmp_path / "tall.png")
    wide, tall = read_thumbnails([tmp_path / "wide.png", tmp_path / "tall.png"], 8)
    assert wide.shape == tall.shape == (8, 8, 3)
    assert (wide[2:6] == 255).all() and (wide[[0, 7]] == 208).all()
    assert (tall[:, 2:6] == [255, 0, 0]).all() and (tall[:, [0, 7]] == 208).all()
