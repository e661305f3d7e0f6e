"""Random views of a drawn character, as different as a careless hand would write it."""

import math

import numpy as np
from PIL import Image, ImageFilter

# Each amount is drawn evenly from its range.
_EXTENT = (0.6, 0.8)  # side of the picture, as a part of the view's side
_SHIFT = (-0.06, 0.06)  # of the middle, as a part of the view's side
_STRETCH = (0.85, 1.18)  # width over height, as a part of what it was
_TURN = 12.0  # degrees to either side
_SLANT = 12.0  # degrees to either side
_BLUR = (0.0, 0.03)  # standard deviation, as a part of the image's side
_INK = (140.0, 255.0)  # brightness of the strokes
_NOISE = (4.0, 24.0)  # standard deviation of each pixel
# Drawn at least this large, and at least twice as large as wanted, then reduced, so
# that edges are smooth and thin strokes whole.
_LARGE = 64


def distorted(pictures, size: int, rng: np.random.Generator) -> np.ndarray:
    """Makes one view of each picture.

    Turned, slanted, stretched, scaled and shifted, then blurred, dimmed and covered
    with noise.

    Args:
        pictures: n square Pillow images of one size, white on black.
        size: Side of the views, in pixels.
        rng: The source of chance.

    Returns:
        `(n, size, size)` uint8.
    """
    count, finer = len(pictures), max(2, math.ceil(_LARGE / size))
    large = size * finer
    extent = rng.uniform(*_EXTENT, count)
    scales = extent * large / pictures[0].width
    maps = _shapes(rng, count) * scales[:, None, None]
    shifts = rng.uniform(*_SHIFT, (count, 2)) * large
    blurs = (rng.uniform(*_BLUR, count) * size).tolist()
    views = np.stack(
        [
            _view(*each, size, finer)
            for each in zip(pictures, np.linalg.inv(maps), shifts, blurs, strict=True)
        ]
    )
    ink = rng.uniform(*_INK, (count, 1, 1)) / 255.0
    noise = rng.uniform(*_NOISE, (count, 1, 1)) * rng.standard_normal(views.shape)
    return np.clip(np.rint(views * ink + noise), 0, 255).astype(np.uint8)


def _shapes(rng, count):
    """`(count, 2, 2)` matrices that turn, slant and stretch `(x, y)`."""
    turn = np.radians(rng.uniform(-_TURN, _TURN, count))
    slant = np.tan(np.radians(rng.uniform(-_SLANT, _SLANT, count)))
    # Half of it to the width, half, inverted, to the height.
    stretch = np.sqrt(rng.uniform(*_STRETCH, count))
    cos, sin = np.cos(turn), np.sin(turn)
    one, none = np.ones(count), np.zeros(count)
    turned = np.array([[cos, -sin], [sin, cos]])
    slanted = np.array([[one, slant], [none, one]])
    stretched = np.array([[stretch, none], [none, 1.0 / stretch]])
    return np.einsum("ijn,jkn,kln->nil", turned, slanted, stretched)


def _view(picture, back, shift, blur, size, finer):
    """Samples a picture; `back (2, 2)` leads from places in the view to its own."""
    large = size * finer
    start = picture.width / 2.0 - back @ (large / 2.0 + shift)
    view = picture.transform(
        (large, large),
        Image.Transform.AFFINE,
        (*back[0], start[0], *back[1], start[1]),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(view.reduce(finer).filter(ImageFilter.GaussianBlur(blur)))
