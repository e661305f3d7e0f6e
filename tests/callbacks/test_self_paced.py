import csv

import keras
import numpy as np
import pytest

from kerasdml import MetricModel, losses
from kerasdml.callbacks import SelfPaced
from kerasdml.losses import DenoisingMultiSimilarity
from tests.checkpoints import assert_interruption_changes_nothing, state

# 4 classes of 10 points about corners; of the first 2 of each the label is wrong.
RIGHT = np.repeat(np.arange(4), 10)
WRONG = np.arange(40) % 10 < 2
LABELS = np.where(WRONG, (RIGHT + 1) % 4, RIGHT)
X = np.eye(4, dtype="float32")[RIGHT]
X += np.random.default_rng(0).normal(scale=0.1, size=X.shape).astype("float32")
Y = {"label": LABELS, "index": np.arange(40)}


def model_of(loss=None):
    keras.utils.set_random_seed(0)
    embedder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    embedder.layers[0].set_weights([np.eye(4), np.zeros(4)])
    model = MetricModel(embedder)
    loss = loss or DenoisingMultiSimilarity(num_samples=40)
    model.compile(keras.optimizers.SGD(0.01), loss=loss)
    return model


def fit(model, *callbacks, epochs=6, **arguments):
    return model.fit(
        X, Y, batch_size=20, epochs=epochs, callbacks=callbacks, verbose=0, **arguments
    ).history


def weights_of(model):
    return np.array(model.loss.sample_weights.values)


def test_wrongly_labelled_samples_lose_their_weight(tmp_path):
    model = model_of()
    path = tmp_path / "found" / "suspects-{epoch}.csv"
    history = fit(model, SelfPaced((X, LABELS), csv_path=path))
    found = weights_of(model)
    assert found[WRONG].max() < 0.1 and found[~WRONG].min() > 0.9
    means = history["mean_sample_weight"]
    assert means[:2] == [1.0, 1.0] and means[5] == pytest.approx(found.mean())
    names = [f"suspects-{epoch}.csv" for epoch in (3, 4, 5, 6)]
    assert sorted(x.name for x in path.parent.iterdir()) == names
    with (path.parent / names[-1]).open() as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["index", "label", "weight", "cost"]
    assert {int(row["index"]) for row in rows[:8]} == set(np.flatnonzero(WRONG))
    assert all(int(row["label"]) == LABELS[int(row["index"])] for row in rows)


def test_the_age_grows_up_to_its_last_quantile():
    model, ages = model_of(), []
    costs = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    paced = SelfPaced((X, LABELS), growth=1.25, initial_quantile=0.25)
    paced.set_model(model)
    for _ in range(4):
        ages.append(paced._next_age(ages[-1] if ages else 0.0, costs))
    # From the quarter's quantile, 2, times 1.25, up to 4.2, that of 0.8.
    assert ages == [2.0, 2.5, 3.125, 3.90625]
    assert paced._next_age(ages[-1], costs) == pytest.approx(4.2)


def test_a_class_that_is_hard_as_a_whole_is_kept_by_balance():
    # The last class has no two points alike: all its samples cost more.
    x = np.array(X)
    x[30:] = np.random.default_rng(1).normal(size=(10, 4))
    kept = []
    for balance in (0.0, 5.0):
        model = model_of()
        paced = SelfPaced((x, RIGHT), warm_up=0, balance=balance)
        paced.set_model(model)
        paced.on_epoch_begin(0)
        kept.append(weights_of(model)[30:].mean())
    assert kept[1] > kept[0] + 0.1


def test_weights_are_set_as_often_as_asked_after_the_warm_up():
    model, changed = model_of(), []
    paced = SelfPaced((X, LABELS), warm_up=1, every_n_epochs=2)
    paced._set_weights = changed.append
    fit(model, paced, epochs=6)
    assert changed == [1, 3, 5]
    fit(model, paced, epochs=6, initial_epoch=4)
    assert changed == [1, 3, 5, 5], "going on begins with no extra one"


def weighted_model():
    model = model_of()
    model.loss.sample_weights.values.assign(np.linspace(0, 1, 40))
    return model


def batch(step):
    rows = np.arange(step, 40, 6)
    return X[rows], {name: field[rows] for name, field in Y.items()}


def test_an_interruption_changes_no_step():
    assert_interruption_changes_nothing(weighted_model, batch)


def test_an_interruption_changes_no_epoch(tmp_path):
    paced = SelfPaced((X, LABELS), every_n_epochs=2, block=8, partners=20)
    whole, part = model_of(), model_of()
    fit(whole, paced, epochs=6, shuffle=False)
    fit(part, paced, epochs=3, shuffle=False)
    part.save(tmp_path / "model.keras")
    part = keras.saving.load_model(tmp_path / "model.keras")
    fit(part, paced, epochs=6, initial_epoch=3, shuffle=False)
    for (path, value), (_, other) in zip(state(whole), state(part), strict=True):
        np.testing.assert_array_equal(other, value, err_msg=path)


def test_a_sum_may_hold_the_loss():
    paced = SelfPaced((X, LABELS))
    loss = DenoisingMultiSimilarity(num_samples=40)
    fit(model_of(loss + 0.1 * losses.EmbeddingNorm()), paced)
    assert np.array(loss.sample_weights.values)[WRONG].max() < 0.1


@pytest.mark.parametrize(
    "loss, data, message",
    [
        (losses.MultiSimilarity(), (X, LABELS), "Received: 0 of them"),
        (None, (X[:39], LABELS[:39]), "num_samples=40. Received: 39 rows"),
        (None, [(X[:39], LABELS[:39])], "num_samples=40. Received: 39 rows"),
    ],
)
def test_what_does_not_fit_is_refused(loss, data, message):
    with pytest.raises(ValueError, match=message):
        fit(model_of(loss), SelfPaced(data, warm_up=0))


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"data": None}, "`data` must be the training set, .* Received: None"),
        ({"growth": 0.9}, "`growth` must be at least 1"),
        ({"warm_up": -1}, "must not be negative.*warm_up=-1"),
        ({"rate": 0.0}, "`rate` must be positive.*rate=0.0"),
        ({"final_quantile": 1.5}, "must be 0 … 1. Received: .*final_quantile=1.5"),
    ],
)
def test_rejects_arguments_out_of_range(bad, message):
    with pytest.raises(ValueError, match=message):
        SelfPaced(**{"data": (X, LABELS), **bad})
