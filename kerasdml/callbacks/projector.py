"""Embeddings for TensorBoard's projector."""

import pathlib

import keras
import numpy as np

from kerasdml.callbacks.checks import check_at_least_one
from kerasdml.callbacks.thumbnails import embed_with_thumbnails
from kerasdml.pictures.names import class_names_of

# TensorBoard draws the sprite as one WebGL texture, which may be this large.
_SPRITE_SIDE = 8192


class Projector(keras.callbacks.Callback):
    """Writes embeddings with classes and images for TensorBoard's projector.

    Point TensorBoard at `log_dir` and open the *Projector* tab: every example is its
    thumbnail in the space of the embeddings, and can be searched by class. In
    `log_dir` lie `projector_config.pbtxt` and a folder of the projection's name with
    `tensors.tsv`, `metadata.tsv` and `sprite.png`; other projections in the same
    configuration stay.

    Args:
        log_dir: Directory to give to TensorBoard; made where missing.
        data: `(images, labels)` arrays, or batches of them, as `callbacks.Retrieval`
            takes them; images `(b, h, w, c)`.
        class_names: `(c,)` names, by label; None: the labels themselves.
        name: Name of the projection, a file name.
        max_examples: The first so many examples are shown, at least 1. The projector
            gets slow beyond some ten thousand.
        every_n_epochs: Writes after every so many epochs too, at least 1; None: only at
            the end of training. The latest embeddings replace those before.
        thumbnail: Longest side of an image in the sprite, in pixels, at least 1; less
            where the sprite would exceed the 8192 pixels that TensorBoard can draw.
        batch_size: Images per batch when `data` are arrays.

    Raises:
        ValueError: If a number is below 1, or `name` is not a plain file name.

    Example:

    >>> projector = kerasdml.callbacks.Projector("logs", (images, labels), class_names)
    >>> model.fit(train, epochs=20, callbacks=[projector])
    """

    def __init__(
        self,
        log_dir,
        data,
        class_names=None,
        name="embeddings",
        max_examples=5000,
        every_n_epochs=None,
        thumbnail=64,
        batch_size=32,
    ):
        super().__init__()
        check_at_least_one(
            max_examples=max_examples,
            every_n_epochs=1 if every_n_epochs is None else every_n_epochs,
            thumbnail=thumbnail,
        )
        if not name or pathlib.PurePath(name).name != name:
            raise ValueError(
                f"`name` must be a plain file name. Received: name={name!r}."
            )
        self.log_dir = pathlib.Path(log_dir)
        self.data = data
        self.class_names = class_names
        self.name = name
        self.max_examples = max_examples
        self.every_n_epochs = every_n_epochs
        self.thumbnail = thumbnail
        self.batch_size = batch_size

    def on_epoch_end(self, epoch, logs=None):
        if self.every_n_epochs and (epoch + 1) % self.every_n_epochs == 0:
            self._write()

    def on_train_end(self, logs=None):
        self._write()

    def _write(self):
        embeddings, labels, images = embed_with_thumbnails(
            self.model, self.data, self.thumbnail, self.max_examples, self.batch_size
        )
        write_projection(
            self.log_dir,
            embeddings,
            class_names_of(labels, self.class_names),
            images,
            self.name,
        )


def write_projection(log_dir, embeddings, names, images, name="embeddings"):
    """Writes what TensorBoard's projector opens.

    Args:
        log_dir: Directory to give to TensorBoard; made where missing.
        embeddings: `(n, d)` floats.
        names: `n` strings, the class of each.
        images: `(n, h, w, 3)` uint8 thumbnails.
        name: Name of the projection, a file name.
    """
    from PIL import Image

    log_dir = pathlib.Path(log_dir)
    folder = log_dir / name
    folder.mkdir(parents=True, exist_ok=True)
    # Nine digits give every float32 back as it was.
    np.savetxt(folder / "tensors.tsv", embeddings, fmt="%.9g", delimiter="\t")
    # With two columns TensorBoard reads a header. A tab or a line break in a name
    # would shift everything after it.
    rows = [f"{' '.join(text.split())}\t{i}\n" for i, text in enumerate(names)]
    metadata = "".join(["class\texample\n", *rows])
    (folder / "metadata.tsv").write_text(metadata, encoding="utf-8")
    sheet, (height, width) = sprite(images)
    Image.fromarray(sheet).save(folder / "sprite.png")
    _write_config(log_dir, name, (width, height))


def sprite(images):
    """Lays images out row by row on a sheet of as many rows as columns.

    Args:
        images: `(n, h, w, 3)` uint8.

    Returns:
        `(sheet, (h, w))`: uint8, at most 8192 pixels a side, and the size of one image
        on it, which is smaller than it was where the sheet would be too large.
    """
    count = int(np.ceil(np.sqrt(len(images))))
    # Leaving out pixels is crude, but these are thumbnails of thumbnails.
    step = -(-count * max(images.shape[1:3]) // _SPRITE_SIDE)
    images = images[:, ::step, ::step]
    height, width = images.shape[1:3]
    sheet = np.zeros((count * count, height, width, 3), "uint8")
    sheet[: len(images)] = images
    sheet = sheet.reshape(count, count, height, width, 3).swapaxes(1, 2)
    return sheet.reshape(count * height, count * width, 3), (height, width)


def _write_config(log_dir, name, size):
    from google.protobuf import text_format
    from tensorboard.plugins import projector

    config = projector.ProjectorConfig()
    path = log_dir / "projector_config.pbtxt"
    if path.exists():
        text_format.Parse(path.read_text(encoding="utf-8"), config)
    others = [entry for entry in config.embeddings if entry.tensor_name != name]
    del config.embeddings[:]
    config.embeddings.extend(others)
    config.embeddings.add(
        tensor_name=name,
        tensor_path=f"{name}/tensors.tsv",
        metadata_path=f"{name}/metadata.tsv",
        sprite=projector.SpriteMetadata(
            image_path=f"{name}/sprite.png", single_image_dim=size
        ),
    )
    projector.visualize_embeddings(str(log_dir), config)
