import subprocess
import sys

import keras
import numpy as np
import pytest

from kerasdml.callbacks import Retrieval
from kerasdml.metrics import retrieval
from kerasdml.models import MetricModel


def fit(model, images, *callbacks, epochs=1):
    return model.fit(
        *images, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks)
    ).history


def test_logs_what_the_metrics_say_of_the_embeddings(plain_model, images):
    history = fit(plain_model, images, Retrieval(images, ks=(1, 3)))
    embeddings = plain_model.predict(images[0], verbose=0)
    expected = retrieval(embeddings, images[1], ks=(1, 3))
    assert {name: values[-1] for name, values in history.items() if name != "loss"} == (
        pytest.approx({f"val_{name}": value for name, value in expected.items()})
    )


def test_agrees_with_the_validation_of_a_metric_model(plain_model, images):
    model = MetricModel(plain_model, ks=(1, 5), similarity="euclidean")
    model.compile("sgd", loss=plain_model.loss)
    again = Retrieval(images, ks=(1, 5), similarity="euclidean", prefix="again_")
    history = model.fit(
        *images, validation_data=images, epochs=2, verbose=0, callbacks=[again]
    ).history
    names = [name for name in history if name.startswith("val_")]
    assert "val_recall_at_5" in names and "val_map_at_r" in names
    for name in names:
        assert history[name] == history[name.replace("val_", "again_")]


def test_takes_batches_with_fields(plain_model, images):
    batches = [(x[None], {"label": y[None]}) for x, y in zip(*images, strict=True)]
    history = fit(
        plain_model, images, Retrieval(images), Retrieval(batches, prefix="same_")
    )
    assert history["same_map_at_r"] == history["val_map_at_r"]


def test_repeats_the_last_values_in_epochs_it_skips(plain_model, images, monkeypatch):
    measured = []
    monkeypatch.setattr(
        "kerasdml.callbacks.retrieval.retrieval",
        lambda *_, **__: measured.append(0) or {"recall_at_1": float(len(measured))},
    )
    history = fit(plain_model, images, Retrieval(images, every_n_epochs=3), epochs=7)
    # After the first, so that there is a value to repeat, then the third and sixth.
    assert history["val_recall_at_1"] == [1, 1, 2, 2, 2, 3, 3]


def test_measures_afresh_when_training_starts_again(plain_model, images):
    callback = Retrieval(images, every_n_epochs=10)
    first = fit(plain_model, images, callback)["val_map_at_r"]
    plain_model.set_weights(
        [w + 1.0 * (w.ndim == 1) for w in plain_model.get_weights()]
    )
    assert fit(plain_model, images, callback)["val_map_at_r"] != first


def test_stops_early_and_names_checkpoints_when_listed_before(
    plain_model, images, tmp_path
):
    plain_model.optimizer.learning_rate = 0.0
    history = fit(
        plain_model,
        images,
        Retrieval(images, ks=(1,)),
        keras.callbacks.EarlyStopping("val_recall_at_1", mode="max", patience=1),
        keras.callbacks.ModelCheckpoint(tmp_path / "{val_recall_at_1:.3f}.keras"),
        epochs=5,
    )
    assert len(history["loss"]) == 2, "nothing is learnt, so the second is the last"
    best = history["val_recall_at_1"][0]
    assert [path.name for path in tmp_path.iterdir()] == [f"{best:.3f}.keras"]


def test_does_not_touch_the_training(plain_model, images):
    start = plain_model.get_weights()
    with_it = fit(plain_model, images, Retrieval(images), epochs=3)["loss"]
    trained = plain_model.get_weights()
    plain_model.set_weights(start)
    assert fit(plain_model, images, epochs=3)["loss"] == with_it
    for ours, without in zip(trained, plain_model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, without)


def test_endless_batches_need_steps(plain_model, images):
    def endless():
        while True:
            yield images

    history = fit(plain_model, images, Retrieval(endless(), steps=1))
    assert 0 <= history["val_recall_at_1"][0] <= 1
    with pytest.raises(ValueError, match="Pass `steps`"):
        fit(plain_model, images, Retrieval(endless()))


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"every_n_epochs": 0}, "`every_n_epochs` must be at least 1"),
        ({"ks": (1, 24)}, "smaller than the number of examples.* k=24 for 24"),
        ({"ks": (0,)}, "`k` must be at least 1"),
        ({"similarity": "l1"}, "`similarity` must be one of"),
    ],
)
def test_refuses_before_training_starts(images, bad, message):
    with pytest.raises(ValueError, match=message):
        Retrieval(images, **bad)


def test_importing_callbacks_on_jax_loads_no_tensorflow():
    code = (
        "import sys, kerasdml.callbacks; "
        "print({'tensorflow', 'tensorboard'} & {*sys.modules})"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        env={"KERAS_BACKEND": "jax", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.strip() == "set()"
