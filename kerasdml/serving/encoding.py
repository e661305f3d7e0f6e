"""Images as users have them, to the encoded bytes that a server takes."""

import io
import os
import pathlib

import numpy as np

from kerasdml.serving.images import check_image


def encode_images(images) -> list[bytes]:
    """The JPEG or PNG bytes of each image, checked as the server will check them.

    Args:
        images: Paths, `bytes`, or uint8 arrays `(h, w)`, `(h, w, 1)` or `(h, w, 3)` in
            a list; or one uint8 array `(b, h, w)` or `(b, h, w, c)`.

    Raises:
        ValueError: If there is no image, `images` is a lone one, or one of them is
            not an image; it is named.
        FileNotFoundError: If a path does not exist.
    """
    if _is_lone(images):
        raise ValueError("`images` must be a list of images. Wrap a lone one: [image].")
    encoded = [_encode(image, f"`images[{i}]`") for i, image in enumerate(images)]
    if not encoded:
        raise ValueError("`images` must hold at least one image. Received: none.")
    return encoded


def _is_lone(images):
    if isinstance(images, np.ndarray):
        return images.ndim < 3 or (images.ndim == 3 and images.shape[-1] in (1, 3))
    return isinstance(images, str | bytes | os.PathLike)


def _encode(image, name):
    if isinstance(image, np.ndarray):
        data = _png(image, name)
    elif isinstance(image, str | os.PathLike):
        data, name = pathlib.Path(image).read_bytes(), os.fspath(image)
    elif isinstance(image, bytes):
        data = image
    else:
        raise ValueError(
            f"{name} must be a path, bytes or a uint8 array. "
            f"Received: {type(image).__name__}."
        )
    try:
        check_image(data)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from error
    return data


def _png(image, name):
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    if image.dtype != np.uint8 or not (image.ndim == 2 or image.shape[2:] == (3,)):
        raise ValueError(
            f"{name} must be a uint8 array (h, w), (h, w, 1) or (h, w, 3) of values "
            f"0 ... 255. Received: {image.dtype} {image.shape}."
        )
    if not image.size:
        raise ValueError(f"{name} must have pixels. Received: shape {image.shape}.")
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "Sending arrays needs pillow, which makes them PNG: pip install pillow. "
            "Paths and bytes need nothing."
        ) from error
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()
