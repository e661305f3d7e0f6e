"""A picture of queries and their nearest neighbours."""

import io
import pathlib
import time

import keras
import numpy as np
from keras import ops

from kerasdml.callbacks.checks import check_at_least_one, check_neighbours
from kerasdml.callbacks.projector import class_names_of
from kerasdml.callbacks.thumbnails import embed_with_thumbnails
from kerasdml.ops import check_similarity, similarities

# Told apart by brightness as well, for those who see red and green alike.
_RIGHT, _WRONG, _QUERY = "#2fae5b", "#b3162b", "#3c3c3c"
_THUMBNAIL = 96  # pixels; a picture shows an image at about this size
_LONGEST_NAME = 14  # capitals that fit below an image


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
            self.model, self.data, _THUMBNAIL, self.max_examples, self.batch_size
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


def choose_queries(labels, count, seed=0):
    """Draws examples that have another of their class, of different classes first.

    Args:
        labels: `(n,)` classes.
        count: Number of queries, at least 1.
        seed: Integer; the same labels and seed give the same queries.

    Returns:
        `(q,)` indices, q = `count` or fewer where there are no more.

    Raises:
        ValueError: If no class has two examples.
    """
    _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(codes))
    order = order[sizes[codes[order]] > 1]
    if not order.size:
        raise ValueError(
            "Queries need another example of their class to find. "
            f"Received {len(codes)} examples, each alone in its class."
        )
    _, firsts = np.unique(codes[order], return_index=True)
    is_first = np.isin(np.arange(len(order)), firsts)
    return np.concatenate([order[is_first], order[~is_first]])[:count]


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
    right = labels[nearest] == labels[queries][:, None]
    names = [
        [
            f"{_shorten(name)}\n{scores[i, j]:.2f}"
            for j, name in zip(
                row, class_names_of(labels[row], class_names), strict=True
            )
        ]
        for i, row in enumerate(nearest)
    ]
    return draw_neighbours(
        images[queries],
        images[nearest],
        right,
        titles=[
            _shorten(name) for name in class_names_of(labels[queries], class_names)
        ],
        captions=names,
        heading=f"{heading}{right.sum()} of {right.size} neighbours right",
    )


def draw_neighbours(
    queries, neighbours, right, titles=None, captions=None, heading=None
):
    """Draws a row for every query: the query, then its neighbours, nearest first.

    Right neighbours are framed green, wrong ones in a darker red.

    Args:
        queries: `(q, h, w)` or `(q, h, w, c)` images, uint8; c = 1, 3 or 4.
        neighbours: `(q, k, h, w)` or `(q, k, h, w, c)` images, uint8.
        right: `(q, k)` booleans, whether a neighbour is of the query's class.
        titles: `q` strings to put below the queries.
        captions: `q` lists of `k` strings to put below the neighbours.
        heading: Text at the top.

    Returns:
        A `matplotlib.figure.Figure`; no window and no global state is involved.

    Raises:
        ValueError: If shapes do not fit.

    Example:

    >>> draw_neighbours(images[:2], images[nearest], right).savefig("neighbours.png")
    """
    from matplotlib.figure import Figure

    queries, neighbours, right = map(np.asarray, (queries, neighbours, right))
    _check_shapes(queries, neighbours, right)
    rows, k = right.shape
    lines = 2.2 if captions is not None else 1.2 if titles is not None else 0.2
    text, top = 0.17 * lines, 0.55  # inches
    width, height = 1.1 * (k + 1) + 0.75, (1.1 + text) * rows + top
    figure = Figure(figsize=(width, height), dpi=120, facecolor="white")
    grid = figure.add_gridspec(
        rows,
        k + 2,
        width_ratios=[1, 0.18, *[1] * k],
        left=0.25 / width,
        right=1 - 0.25 / width,
        top=1 - top / height,
        bottom=text / height,
        wspace=0.1,
        hspace=(text + 0.06) / 1.04,
    )
    for row in range(rows):
        title = "" if titles is None else titles[row]
        axes = figure.add_subplot(grid[row, 0])
        _draw_image(axes, queries[row], title, _QUERY, weight="bold")
        for rank in range(k):
            _draw_image(
                figure.add_subplot(grid[row, rank + 2]),
                neighbours[row, rank],
                "" if captions is None else captions[row][rank],
                _RIGHT if right[row, rank] else _WRONG,
            )
    _write_top(figure, heading or "")
    return figure


def _write_top(figure, heading):
    """Writes the heading and the legend, and what the columns are."""
    width, height = figure.get_size_inches()
    left, right = 0.25 / width, 1 - 0.25 / width
    upper, lower = 1 - 0.2 / height, 1 - 0.44 / height
    figure.text(left, upper, heading, va="center", fontsize=10, parse_math=False)
    figure.text(right, upper, "wrong", va="center", ha="right", color=_WRONG)
    figure.text(
        right - 0.55 / width, upper, "right", va="center", ha="right", color=_RIGHT
    )
    figure.text(left, lower, "query", va="center", fontsize=7.5, color=_QUERY)
    figure.text(
        left + 1.35 / width,
        lower,
        "neighbours, nearest first",
        va="center",
        fontsize=7.5,
        color=_QUERY,
    )


def _draw_image(axes, image, caption, colour, weight="normal"):
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    # Few pixels stay sharp squares; many are smoothed as they shrink.
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=3 if colour != _QUERY else 1.2)
    # A dollar sign in a name is no formula.
    axes.set_xlabel(
        caption, fontsize=7.5, labelpad=4, color=colour, weight=weight, parse_math=False
    )


def _check_shapes(queries, neighbours, right):
    fits = (
        queries.ndim in (3, 4)
        and right.ndim == 2
        and neighbours.shape == right.shape + queries.shape[1:]
        and len(queries) == len(right)
    )
    if not fits:
        raise ValueError(
            "`queries` must be `(q, h, w[, c])`, `neighbours` `(q, k, h, w[, c])` and "
            f"`right` `(q, k)`. Received shapes: {queries.shape}, {neighbours.shape} "
            f"and {right.shape}."
        )


def _shorten(name):
    """Leaves out the middle of a long name: names often differ only at their ends."""
    name = " ".join(name.split())
    if len(name) <= _LONGEST_NAME:
        return name
    half = _LONGEST_NAME // 2
    return f"{name[:half]}…{name[1 - half :]}"


def as_png(figure):
    """Returns a `matplotlib.figure.Figure` as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


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
