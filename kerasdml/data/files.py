"""Image files: which can be read, and their pixels."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf


def unreadable(paths) -> list[int]:
    """Returns the positions of the files that hold no whole image.

    A file that starts and ends as a JPEG does is taken for one; any other is decoded.
    So a large set of photographs costs a look at both ends of each file.
    """
    with ThreadPoolExecutor() as pool:
        return [i for i, fine in enumerate(pool.map(_is_readable, paths)) if not fine]


def channels_of(paths) -> int:
    """Returns 3 if any of up to 16 files, evenly spread over `paths`, has colour."""
    some = np.unique(np.linspace(0, len(paths) - 1, 16).astype(int))
    # Grey images may carry an opacity besides, coloured ones too: 1, 2 or 3, 4.
    return 3 if any(_decode(paths[i]).shape[-1] > 2 for i in some) else 1


def load(path, size, channels):
    """Reads one image as float32 `(*size, channels)`, 0 … 255, with antialiasing."""
    return from_bytes(tf.io.read_file(path), size, channels)


def from_bytes(content, size, channels):
    """Does what `load` does with the content of a file."""
    image = tf.io.decode_image(content, channels=channels, expand_animations=False)
    image = tf.image.resize(image, size, antialias=True)
    return tf.ensure_shape(image, (*size, channels))


def _decode(path, channels=0):
    content = tf.io.read_file(path)
    return tf.io.decode_image(content, channels=channels, expand_animations=False)


def _is_readable(path):
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            start = file.read(2)
            file.seek(max(file.size() - 2, 0))
            end = file.read(2)
        if (start, end) != (b"\xff\xd8", b"\xff\xd9"):
            _decode(path)
    except tf.errors.OpError:
        return False
    return True
