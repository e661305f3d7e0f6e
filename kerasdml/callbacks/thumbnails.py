"""Embeddings of a data set together with small pictures of its images."""

import keras
import numpy as np

from kerasdml.models.embedding import batches_of, embed
from kerasdml.pictures.thumbnails import thumbnails


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
