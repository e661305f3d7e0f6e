"""A picture of queries and their nearest neighbours."""

import pathlib
import time

import keras
import numpy as np
from keras import ops

from kerasdml.callbacks.checks import check_at_least_one, check_neighbours
from kerasdml.callbacks.thumbnails import embed_with_thumbnails
from kerasdml.ops import check_similarity, similarities
from kerasdml.pictures.neighbours import as_png, choose_queries, draw_found
from kerasdml.pictures.thumbnails import THUMBNAIL


class Neighbours(keras.callbacks.Callback):
    """Draws queries and their nearest neighbours at the end of epochs.

    Right neighbours are framed green, wrong ones red; below each stands its class and
    its similarity. The queries stay the same from epoch to epoch.

    Args:
        path: PNG file to write; its directory is made where missing. `{epoch}`, as in
            `"neighbours-{epoch:03d}.png"`, keeps every epoch's picture.
        data: `(images, labels)` arrays, or batches of them, as `callbacks.Retrieval`
            takes them; images `(b, h, w, c)`.
        class_names: `(c,)` names, by label; None: the labels themselves.
        queries: Number of queries, at least 1, drawn from as many classes as there are,
            of two examples or more.
        k: Neighbours of each, from 1 to the number of examples less one.
        log_dir: Where to write the picture for TensorBoard too, in its *Images* tab;
            None: nowhere.
        every_n_epochs: Draws after every so many epochs, and at the end of training.
        similarity: "cosine", "dot", "euclidean" (minus the distance), or another of
            `ops.similarities`.
        max_examples: The first so many examples are searched, at least 1.
        seed: Integer that chooses the queries.
        batch_size: Images per batch when `data` are arrays.

    Raises:
        ValueError: If a number is below 1, `k` is larger than the data, no class has
            two examples, or the similarity is unknown.

    Example:

    >>> picture = kerasdml.callbacks.Neighbours("neighbours.png", (images, labels))
    >>> model.fit(train, epochs=20, callbacks=[picture])
    """

    def __init__(
        self,
        path,
        data,
        class_names=None,
        queries=8,
        k=5,
        log_dir=None,
        every_n_epochs=1,
        similarity="cosine",
        max_examples=5000,
        seed=0,
        batch_size=32,
    ):
        super().__init__()
        check_at_least_one(
            queries=queries, every_n_epochs=every_n_epochs, max_examples=max_examples
        )
        check_neighbours(k, data)
        self.path = str(path)
        self.data = data
        self.class_names = class_names
        self.queries = queries
        self.k = k
        self.log_dir = log_dir
        self.every_n_epochs = every_n_epochs
        self.similarity = check_similarity(similarity)
        self.max_examples = max_examples
        self.seed = seed
        self.batch_size = batch_size
        self._epoch = 0
        self._drawn = None

    def on_train_begin(self, logs=None):
        self._drawn = None

    def on_epoch_end(self, epoch, logs=None):
        self._epoch = epoch + 1
        if self._epoch % self.every_n_epochs == 0:
            self._draw()

    def on_train_end(self, logs=None):
        if self._drawn != self._epoch:
            self._draw()

    def _draw(self):
        embeddings, labels, images = embed_with_thumbnails(
            self.model, self.data, THUMBNAIL, self.max_examples, self.batch_size
        )
        figure = picture_neighbours(
            embeddings,
            labels,
            images,
            self.class_names,
            choose_queries(labels, self.queries, self.seed),
            self.k,
            self.similarity,
            heading=f"epoch {self._epoch}: ",
        )
        png = as_png(figure)
        path = pathlib.Path(self.path.format(epoch=self._epoch))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png)
        if self.log_dir is not None:
            write_image(self.log_dir, "neighbours", png, step=self._epoch - 1)
        self._drawn = self._epoch


def picture_neighbours(
    embeddings,
    labels,
    images,
    class_names,
    queries,
    k=5,
    similarity="cosine",
    heading="",
):
    """Finds the nearest neighbours of some examples among the others and draws them.

    Args:
        embeddings: `(n, d)` embeddings.
        labels: `(n,)` their classes.
        images: `(n, h, w)` or `(n, h, w, c)` images, uint8.
        class_names: `(c,)` names, by label; None: the labels themselves.
        queries: `(q,)` indices of the queries.
        k: Neighbours of each, from 1 to n - 1.
        similarity: "cosine", "dot", "euclidean", or another of `ops.similarities`.
        heading: Text before the count of right neighbours at the top.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: If `k` is larger than the data.
    """
    if not 1 <= k < len(embeddings):
        raise ValueError(
            f"`k` must be from 1 to {len(embeddings) - 1}, the number of examples less "
            f"one. Received: k={k}."
        )
    labels = np.asarray(labels)
    scores = np.array(
        similarities(
            ops.convert_to_tensor(embeddings[queries], "float32"),
            ops.convert_to_tensor(embeddings, "float32"),
            similarity,
        )
    )
    scores[np.arange(len(queries)), queries] = -np.inf
    nearest = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return draw_found(
        images[queries],
        images[nearest],
        labels[queries],
        labels[nearest],
        np.take_along_axis(scores, nearest, axis=1),
        class_names,
        heading=heading,
    )


def write_image(log_dir, tag, png, step):
    """Adds a PNG image to TensorBoard's log, on any backend.

    Args:
        log_dir: Directory of the log; made where missing.
        tag: Name that groups the images of all steps.
        png: The bytes of the file.
        step: Integer, counted from 0 as TensorBoard's epochs are.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    # Bytes 16 … 24 of every PNG file are its width and height.
    width, height = np.frombuffer(png, ">u4", count=2, offset=16)
    image = Summary.Image(
        width=int(width), height=int(height), colorspace=4, encoded_image_string=png
    )
    summary = Summary(value=[Summary.Value(tag=tag, image=image)])
    writer = EventFileWriter(str(log_dir))
    writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
    writer.close()
