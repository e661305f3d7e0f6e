"""Weights of samples that grow with the age of training."""

import csv
import pathlib

import keras
import numpy as np
from keras import ops

from kerasdml.callbacks.checks import check_at_least_one
from kerasdml.losses import DenoisingMultiSimilarity
from kerasdml.models.embedding import embed
from kerasdml.ops import mean_pair_costs, similarities, solve_sample_weights


class SelfPaced(keras.callbacks.Callback):
    """Sets the sample weights of `losses.DenoisingMultiSimilarity` between epochs.

    After some epochs to warm up, and then before every epoch, it embeds the training
    set and lets `ops.solve_sample_weights` move the weights: samples whose pairs cost
    more than an age lose weight, the others gain it. The age grows from epoch to epoch,
    so that harder samples follow easier ones, up to a quantile of the costs that keeps
    the hardest out: as many as are expected to be labelled wrongly.

    Weights and age belong to the loss and are saved with the model; a training that
    goes on by `initial_epoch` goes on as if it had not been interrupted. The mean
    weight is in the logs, as `mean_sample_weight`.

    Args:
        data: The training set without augmentation, its row i the sample of index i:
            `(images, labels)` arrays, or batches `(images, labels)` in that order, as
            `callbacks.Retrieval` takes them.
        warm_up: Epochs in which all samples weigh 1, at least 0.
        every_n_epochs: Sets the weights before every so many epochs. At least 1.
        initial_quantile: Share of the samples that the first age lets in, 0 … 1.
        growth: Factor of the age from one time to the next, at least 1.
        final_quantile: Share of the samples that age lets in at most, 0 … 1: 1 less the
            share of wrong labels that is expected.
        balance: Weight of the spread of the classes' mean weights, in units of the
            median of the costs, at least 0.
        passes: How often each weight is moved a time, at least 1.
        block: Weights moved at a time, at least 1.
        partners: Random samples by which a weight's slope is estimated, at least 1.
        rate: Length of the first steps, in weight for the median of the costs, > 0.
        seed: Non-negative integer of the random order; the epoch's number is added.
        csv_path: File that lists all samples each time, those that are suspected of a
            wrong label first, by ascending weight and then by descending cost: `index`,
            `label`, `weight`, `cost`. None: nowhere. `{epoch}` in it keeps each. Its
            directory is made where missing.
        batch_size: Images per batch when `data` are arrays.
        steps: Batches to take, when `data` has no end.
        verbose: 0 is silent, 1 shows a progress bar of embedding.

    Raises:
        ValueError: If `data` is None or a number is out of its range; when training
            begins, if the model has no such loss, or `data` are arrays of another
            number of samples; and before an epoch, if other data is.

    Example:

    >>> paced = kerasdml.callbacks.SelfPaced((images, labels), csv_path="suspects.csv")
    >>> model.fit(train, epochs=20, callbacks=[paced])

    Source: as of `losses.DenoisingMultiSimilarity`. A reconstruction: that there is an
    age with a largest value, and that weights and network take turns, is the paper's;
    all numbers are assumed.
    """

    def __init__(
        self,
        data,
        warm_up=2,
        every_n_epochs=1,
        initial_quantile=0.5,
        growth=1.1,
        final_quantile=0.8,
        balance=0.5,
        passes=10,
        block=256,
        partners=512,
        rate=0.5,
        seed=0,
        csv_path=None,
        batch_size=32,
        steps=None,
        verbose=0,
    ):
        super().__init__()
        if data is None:
            raise ValueError(
                "`data` must be the training set, `(images, labels)` arrays or batches "
                "of them in the order of the field 'index'. Received: None."
            )
        check_at_least_one(
            every_n_epochs=every_n_epochs,
            growth=growth,
            passes=passes,
            block=block,
            partners=partners,
        )
        if warm_up < 0 or balance < 0 or rate <= 0:
            raise ValueError(
                "`warm_up` and `balance` must not be negative, and `rate` must be "
                f"positive. Received: warm_up={warm_up}, balance={balance}, "
                f"rate={rate}."
            )
        if not (0 <= initial_quantile <= 1 and 0 <= final_quantile <= 1):
            raise ValueError(
                "`initial_quantile` and `final_quantile` must be 0 … 1. Received: "
                f"initial_quantile={initial_quantile}, final_quantile={final_quantile}."
            )
        self.data = data
        self.warm_up = warm_up
        self.every_n_epochs = every_n_epochs
        self.initial_quantile = initial_quantile
        self.growth = growth
        self.final_quantile = final_quantile
        self.balance = balance
        self.passes = passes
        self.block = block
        self.partners = partners
        self.rate = rate
        self.seed = seed
        self.csv_path = csv_path
        self.batch_size = batch_size
        self.steps = steps
        self.verbose = verbose

    def on_train_begin(self, logs=None):
        loss = self._loss()
        if isinstance(self.data, tuple):
            _check_size(loss, len(self.data[0]))

    def on_epoch_begin(self, epoch, logs=None):
        since = epoch - self.warm_up
        # By the epoch's number alone, so that going on is as not having stopped.
        if since >= 0 and since % self.every_n_epochs == 0:
            self._set_weights(epoch)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            values = ops.convert_to_numpy(self._loss().sample_weights.values)
            logs["mean_sample_weight"] = float(np.mean(values))

    def _set_weights(self, epoch):
        loss = self._loss()
        embeddings, labels = embed(
            self.model, self.data, self.batch_size, self.steps, self.verbose
        )
        _check_size(loss, len(labels))
        labels = labels.reshape(-1)
        costs_between = _costs_between(loss, embeddings, labels)
        layer, seed = loss.sample_weights, self.seed + epoch
        weights = ops.convert_to_numpy(layer.values)
        costs = mean_pair_costs(costs_between, weights, seed=seed)
        age = self._next_age(float(ops.convert_to_numpy(layer.age)), costs)
        # So that balance and steps follow the costs, which fall while the model learns;
        # where nothing costs anything, any step is as good.
        unit = max(float(np.median(costs)), 1e-6)
        weights = solve_sample_weights(
            costs_between,
            labels,
            weights,
            age=age,
            rate=self.rate / unit,
            balance=self.balance * unit,
            passes=self.passes,
            block=self.block,
            partners=self.partners,
            seed=seed,
        )
        layer.values.assign(weights)
        layer.age.assign(age)
        if self.csv_path is not None:
            path = str(self.csv_path).format(epoch=epoch + 1)
            _write_suspects(path, labels, weights, costs)

    def _next_age(self, age, costs):
        grown = self.growth * age or np.quantile(costs, self.initial_quantile)
        return float(min(grown, np.quantile(costs, self.final_quantile)))

    def _loss(self):
        parts = keras.tree.flatten(self.model.loss)
        parts += [part for loss in parts for part in getattr(loss, "parts", ())]
        found = [part for part in parts if isinstance(part, DenoisingMultiSimilarity)]
        if len(found) != 1:
            raise ValueError(
                "SelfPaced needs a model whose loss is one DenoisingMultiSimilarity, "
                f"or a sum with one. Received: {len(found)} of them."
            )
        return found[0]


def _costs_between(loss, embeddings, labels):
    """Returns the function that `solve_sample_weights` asks for the costs of pairs."""

    def pair_costs(rows, columns):
        similar = similarities(embeddings[rows], embeddings[columns], loss.similarity)
        same = labels[rows][:, None] == labels[columns]
        costs = ops.convert_to_numpy(loss.pair_costs(similar, same))
        known = (labels[rows] != -1)[:, None] & (labels[columns] != -1)
        return np.where(known & (rows[:, None] != columns), costs, 0.0)

    return pair_costs


def _check_size(loss, size):
    if size != loss.num_samples:
        raise ValueError(
            "`data` must have one row for each of the loss's "
            f"num_samples={loss.num_samples}. Received: {size} rows."
        )


def _write_suspects(path, labels, weights, costs):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["index", "label", "weight", "cost"])
        for i in np.lexsort((-costs, weights)):
            writer.writerow([i, labels[i], f"{weights[i]:.4f}", f"{costs[i]:.4g}"])
