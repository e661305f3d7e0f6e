"""Files that appear whole or not at all, wherever TensorFlow can write.

Several processes, on several machines, may write the same file at once: each has a
draft of its own, and all drafts become the same file. Paths are texts, since `pathlib`
does not keep the `//` of `gs://`.
"""

import contextlib
import hashlib
import os
import pathlib
import posixpath
import uuid

import tensorflow as tf

_CHUNK = 1 << 24  # bytes


@contextlib.contextmanager
def replaced(path):
    """Yields a file to write bytes to, which becomes `path` when the block succeeds.

    Raises:
        OSError: If it cannot be written.
    """
    folder, name = posixpath.split(path)
    draft = posixpath.join(folder, f".{name}.{uuid.uuid4().hex}.tmp")
    try:
        with tf.io.gfile.GFile(draft, "wb") as file:
            yield file
        tf.io.gfile.rename(draft, path, overwrite=True)
    except tf.errors.OpError as error:
        raise OSError(f"{path} cannot be written: {error.message}") from error
    finally:
        if tf.io.gfile.exists(draft):
            tf.io.gfile.remove(draft)


def remove_drafts(folder):
    """Removes what writers left in `folder` when they were killed."""
    for draft in tf.io.gfile.glob(posixpath.join(folder, ".*.tmp")):
        tf.io.gfile.remove(draft)


def absolute(path):
    """A path that means the same from any folder."""
    path = os.fspath(path)
    return path if "://" in path else str(pathlib.Path(path).absolute())


def chunks(path):
    """The content of a file, piece by piece."""
    with tf.io.gfile.GFile(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def sha256(pieces):
    """The SHA-256 of pieces of bytes, one after the other."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
