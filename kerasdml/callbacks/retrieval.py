"""Retrieval metrics in the logs of `fit`."""

import keras

from kerasdml.callbacks.checks import check_at_least_one, check_neighbours
from kerasdml.metrics import retrieval
from kerasdml.models.embedding import embed
from kerasdml.ops import check_similarity


class Retrieval(keras.callbacks.Callback):
    """Writes retrieval metrics of a data set to the logs at the end of epochs.

    They are those of `MetricModel.evaluate`, for any model whose output is `(b, d)`
    embeddings, and for data beside the validation data: a further test set, or a part
    of the training set under another `prefix`. Every example is a query against all
    others.

    Keras gives all callbacks one dict of logs, in the order of their list. **List this
    one before** `EarlyStopping`, `ModelCheckpoint` and whatever else reads its values.
    (`MetricModel` with `validation_data` has them in the logs in any order.) Keras does
    not know that larger is better here: give those callbacks `mode="max"`.

    Args:
        data: `(images, labels)` arrays, or batches `(images, labels)` as a
            `tf.data.Dataset`, a `keras.utils.PyDataset` or an iterable; labels may be a
            dict with the key `"label"`.
        ks: Lengths of the lists for recall@k and precision@k, each from 1 to the
            number of examples less one.
        every_n_epochs: Measures after every so many epochs, and after the first; in
            between the last values are repeated. At least 1.
        prefix: Put before the names: "val_" gives `val_recall_at_1`,
            `val_precision_at_1`, `val_r_precision`, `val_map_at_r`.
        similarity: "cosine", "dot", "euclidean", or another of `ops.similarities`.
        batch_size: Images per batch when `data` are arrays.
        steps: Batches to take, when `data` has no end.
        verbose: 0 is silent, 1 shows progress bars of embedding and evaluation.

    Raises:
        ValueError: If a number is below 1, a k is larger than the data, or the
            similarity is unknown.

    Example:

    >>> model.fit(train, epochs=20, callbacks=[
    ...     kerasdml.callbacks.Retrieval((images, labels)),
    ...     keras.callbacks.EarlyStopping("val_recall_at_1", mode="max", patience=3),
    ... ])
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
    ):
        super().__init__()
        check_at_least_one(every_n_epochs=every_n_epochs)
        for k in ks:
            check_neighbours(k, data)
        self.data = data
        self.ks = list(ks)
        self.every_n_epochs = every_n_epochs
        self.prefix = prefix
        self.similarity = check_similarity(similarity)
        self.batch_size = batch_size
        self.steps = steps
        self.verbose = verbose
        self._values = {}

    def on_train_begin(self, logs=None):
        self._values = {}

    def on_epoch_end(self, epoch, logs=None):
        if not self._values or (epoch + 1) % self.every_n_epochs == 0:
            self._values = self._measure()
        if logs is not None:
            logs.update(self._values)

    def _measure(self):
        embeddings, labels = embed(
            self.model, self.data, self.batch_size, self.steps, self.verbose
        )
        scores = retrieval(
            embeddings,
            labels,
            ks=self.ks,
            similarity=self.similarity,
            verbose=self.verbose,
        )
        return {f"{self.prefix}{name}": value for name, value in scores.items()}
