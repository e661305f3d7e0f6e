"""Small pictures of images."""

import numpy as np

THUMBNAIL = 96  # pixels; a picture of neighbours shows an image at about this size
_GREY = (208, 208, 208)


def thumbnails(images, side):
    """Shrinks images to RGB thumbnails; smaller images keep their size.

    Args:
        images: `(b, h, w)` or `(b, h, w, c)`, c = 1 (grey), 3 (RGB) or 4 (RGBA, whose
            alpha is dropped); 0 … 255, or 0 … 1. Images of any other range, such as
            standardised ones, are stretched one by one from their darkest to their
            brightest value.
        side: Longest side of a thumbnail, in pixels.

    Returns:
        `(b, h, w, 3)` uint8.

    Raises:
        ValueError: If these are not images.
    """
    from PIL import Image

    images = np.asarray(images)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3, 4):
        raise ValueError(
            "Pictures need images `(b, h, w, c)` of 1, 3 or 4 channels. "
            f"Received: shape {images.shape}."
        )
    height, width, channels = images.shape[1:]
    scale = min(1.0, side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    colours = [0, 0, 0] if channels == 1 else [0, 1, 2]
    return np.stack(
        [
            np.asarray(Image.fromarray(_to_uint8(image[..., colours])).resize(size))
            for image in images
        ]
    )


def _to_uint8(image):
    if image.dtype == np.uint8:
        return image
    image = image.astype("float32")
    low, high = image.min(), image.max()
    if low < 0 or high > 255:
        image = 255 * (image - low) / max(high - low, 1e-12)
    elif high <= 1:
        image = 255 * image
    return np.round(image).astype("uint8")


def read_thumbnails(paths, side):
    """Reads image files as RGB thumbnails, each in the middle of a grey square.

    Args:
        paths: `b` files.
        side: Length of the squares, in pixels.

    Returns:
        `(b, side, side, 3)` uint8.
    """
    from PIL import Image

    squares = []
    for path in paths:
        with Image.open(path) as image:
            squares.append(_square(image.convert("RGB"), side))
    return np.stack(squares)


def as_squares(thumbnails, side):
    """Enlarges RGB thumbnails `(b, h, w, 3)` as `read_thumbnails` shrinks images."""
    from PIL import Image

    return np.stack([_square(Image.fromarray(image), side) for image in thumbnails])


def _square(image, side):
    from PIL import ImageOps

    return np.asarray(ImageOps.pad(image, (side, side), color=_GREY))
