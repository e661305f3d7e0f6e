"""Retrieval metrics in the logs of `fit`."""

import json
import pathlib
import time

import keras

from kerasdml.callbacks.checks import (
    check_at_least_one,
    check_gallery,
    check_neighbours,
)
from kerasdml.metrics import evaluate
from kerasdml.metrics.evaluate import metric_names
from kerasdml.models.embedding import embed
from kerasdml.ops import check_similarity


class Retrieval(keras.callbacks.Callback):
    """Writes metrics of data sets to the logs at the end of epochs.

    They are those of `MetricModel.evaluate`, for any model whose output is `(b, d)`
    embeddings, and for data beside the validation data: further test sets, sets whose
    queries search a gallery of their own, or a part of the training set.

    Keras gives all callbacks one dict of logs, in the order of their list. **List this
    one before** `EarlyStopping`, `ModelCheckpoint` and whatever else reads its values.
    (`MetricModel` with `validation_data` has them in the logs in any order.) Keras does
    not know that larger is better here: give those callbacks `mode="max"`.

    Args:
        data: `(images, labels)` arrays, or batches `(images, labels)` as a
            `tf.data.Dataset`, a `keras.utils.PyDataset` or an iterable; labels may be a
            dict with the key `"label"`. Several of them are a dict of such data by
            name, and the name with `_` is put before its values instead of `prefix`:
            "birds" gives `birds_recall_at_1`.
        ks: Lengths of the lists for metrics that end in `_at_k`, each from 1 to the
            number of examples less one, or to the size of the gallery.
        every_n_epochs: Measures after every so many epochs, and after the first; in
            between the last values are repeated. At least 1.
        prefix: Put before the names: "val_" gives `val_recall_at_1`,
            `val_precision_at_1`, `val_r_precision`, `val_map_at_r`.
        similarity: "cosine", "dot", "euclidean", or another of `ops.similarities`.
        batch_size: Images per batch when `data` are arrays.
        steps: Batches to take, when `data` has no end.
        verbose: 0 is silent, 1 shows progress bars of embedding and evaluation.
        metrics: Names of metrics of retrieval, and of clustering if k-means is to be
            run: those of `metrics.evaluate`.
        gallery: What to search, as `data`; None: the data itself, where every example
            is a query against all others. Where `data` is a dict this is one too, of
            those that have a gallery.
        json_path: File to which each measurement adds a line of JSON: `epoch`, counted
            from 1, `data`, the name, and `scores`; None: nowhere. Its directory is made
            where missing.
        log_dir: Where to write a table of each measurement for TensorBoard, in its
            *Text* tab, a row for each data set; None: nowhere. Curves come from Keras'
            own `TensorBoard` callback, listed after this one.

    Raises:
        ValueError: If a number is below 1, a k is larger than the data, a metric or the
            similarity is unknown, or `gallery` names data that is not there.

    Example:

    >>> model.fit(train, epochs=20, callbacks=[
    ...     kerasdml.callbacks.Retrieval((images, labels)),
    ...     keras.callbacks.EarlyStopping("val_recall_at_1", mode="max", patience=3),
    ... ])

    Two sets, the second 20 batches of the training set:

    >>> kerasdml.callbacks.Retrieval({"birds": birds, "train": train.take(20)})
    """

    def __init__(
        self,
        data,
        ks=(1, 10),
        every_n_epochs=1,
        prefix="val_",
        similarity="cosine",
        batch_size=32,
        steps=None,
        verbose=0,
        metrics=("recall_at_k", "precision_at_k", "r_precision", "map_at_r"),
        gallery=None,
        json_path=None,
        log_dir=None,
    ):
        super().__init__()
        check_at_least_one(every_n_epochs=every_n_epochs)
        self.names = metric_names(metrics, ks)
        self.data = data
        self.ks = list(ks)
        self.every_n_epochs = every_n_epochs
        self.prefix = prefix
        self.similarity = check_similarity(similarity)
        self.batch_size = batch_size
        self.steps = steps
        self.verbose = verbose
        self.metrics = list(metrics)
        self.gallery = gallery
        self.json_path = json_path
        self.log_dir = log_dir
        self._sets = _by_prefix(data, gallery, prefix)
        self._check_ks()
        self._values = {}

    @property
    def log_names(self):
        """Names of the values in the logs."""
        return [f"{prefix}{name}" for prefix in self._sets for name in self.names]

    def on_train_begin(self, logs=None):
        self._values = {}

    def on_epoch_end(self, epoch, logs=None):
        if not self._values or (epoch + 1) % self.every_n_epochs == 0:
            self._values = self._measure(epoch)
        if logs is not None:
            logs.update(self._values)

    def _measure(self, epoch):
        scores = {prefix: self._evaluate(*sets) for prefix, sets in self._sets.items()}
        named = {prefix.removesuffix("_"): found for prefix, found in scores.items()}
        if self.json_path is not None:
            _append_json(self.json_path, epoch + 1, named)
        if self.log_dir is not None:
            write_text(self.log_dir, "retrieval", _table(named), step=epoch)
        return {
            f"{prefix}{name}": value
            for prefix, found in scores.items()
            for name, value in found.items()
        }

    def _evaluate(self, data, gallery):
        queries = self._embed(data)
        searched = (None, None) if gallery is None else self._embed(gallery)
        return evaluate(
            *queries,
            *searched,
            metrics=self.metrics,
            ks=self.ks,
            similarity=self.similarity,
            verbose=self.verbose,
        )

    def _embed(self, data):
        return embed(self.model, data, self.batch_size, self.steps, self.verbose)

    def _check_ks(self):
        if not any(name.endswith("_at_k") for name in self.metrics):
            return
        for k in self.ks:
            for data, gallery in self._sets.values():
                if gallery is None:
                    check_neighbours(k, data)
                else:
                    check_gallery(k, gallery)


def _by_prefix(data, gallery, prefix):
    """Returns `{prefix: (data, gallery or None)}`."""
    if not isinstance(data, dict):
        return {prefix: (data, gallery)}
    if not data:
        raise ValueError("`data` must not be empty.")
    galleries = {} if gallery is None else gallery
    if not isinstance(galleries, dict) or not galleries.keys() <= data.keys():
        raise ValueError(
            "`gallery` must be a dict like `data`, of some of its names: "
            f"{', '.join(data)}. Received: "
            f"{', '.join(galleries) if isinstance(galleries, dict) else type(gallery)}."
        )
    return {f"{name}_": (each, galleries.get(name)) for name, each in data.items()}


def _append_json(path, epoch, scores):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        for name, found in scores.items():
            line = {"epoch": epoch, "data": name, "scores": found}
            file.write(f"{json.dumps(line)}\n")


def _table(scores):
    """Returns Markdown, a row for each data set."""
    columns = list(next(iter(scores.values())))
    rows = [["data", *columns], ["---"] * (1 + len(columns))]
    for name, found in scores.items():
        rows.append([name, *(f"{found[column]:.4f}" for column in columns)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write_text(log_dir, tag, markdown, step):
    """Adds text to TensorBoard's log, on any backend.

    Args:
        log_dir: Directory of the log; made where missing.
        tag: Name that groups the texts of all steps.
        markdown: The text.
        step: Integer, counted from 0 as TensorBoard's epochs are.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.text.summary_v2 import text_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    summary = text_pb(tag, markdown)
    writer = EventFileWriter(str(log_dir))
    writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
    writer.close()
