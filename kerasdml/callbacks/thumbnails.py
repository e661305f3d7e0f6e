"""Embeddings of a data set together with small pictures of its images."""

import keras
import numpy as np

from kerasdml.models.embedding import batches_of, embed


def embed_with_thumbnails(model, data, side, limit, batch_size=32):
    """Embeds the first examples of a data set and keeps a thumbnail of each.

    One pass, so that shuffled data stays in step, and only thumbnails are kept.

    Args:
        model: Keras model from images to embeddings `(b, d)`.
        data: `(images, labels)` arrays or batches, as `models.embed` takes them, with
            images `(b, h, w, c)`.
        side: Longest side of a thumbnail, in pixels.
        limit: Largest number of examples.
        batch_size: Images per batch when `data` are arrays.

    Returns:
        `(embeddings, labels, thumbnails)`: `(n, d)` float32, `(n, ...)` and
        `(n, h, w, 3)` uint8.

    Raises:
        ValueError: If the data holds no images.
    """
    watched = _Watched(data, side, limit, batch_size)
    embeddings, labels = embed(model, watched)
    return embeddings, labels, np.concatenate(watched.thumbnails)


class _Watched:
    """Iterates over the first examples of a data set, noting thumbnails on the way."""

    def __init__(self, data, side, limit, batch_size):
        self.data = data
        self.side = side
        self.limit = limit
        self.batch_size = batch_size
        self.thumbnails = []

    def __iter__(self):
        left = self.limit
        for batch in batches_of(self.data, self.batch_size)[0]:
            x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
            x, y = keras.tree.map_structure(lambda array: array[:left], (x, y))  # noqa: B023
            self.thumbnails.append(thumbnails(x, self.side))
            yield x, y
            left -= len(self.thumbnails[-1])
            if left == 0:
                return


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
