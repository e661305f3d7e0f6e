import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kerasdml.callbacks import Retrieval
from kerasdml.metrics import clustering, retrieval
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
        "kerasdml.callbacks.retrieval.evaluate",
        lambda *_, **__: measured.append(0) or {"recall_at_1": float(len(measured))},
    )
    history = fit(plain_model, images, Retrieval(images, every_n_epochs=3), epochs=7)
    # After the first, so that there is a value to repeat, then the third and sixth.
    assert history["val_recall_at_1"] == [1, 1, 2, 2, 2, 3, 3]


def test_measures_several_data_sets_by_name_some_in_a_gallery(plain_model, images):
    x, labels = images
    halves = (x[::2], labels[::2]), (x[1::2], labels[1::2])
    callback = Retrieval(
        {"shop": halves[0], "part": halves[1]},
        ks=(2,),
        metrics=("recall_at_k", "nmi"),
        gallery={"shop": halves[1]},
    )
    history = fit(plain_model, images, callback)
    first, second = (plain_model.predict(half[0], verbose=0) for half in halves)
    expected = {
        "shop_recall_at_2": retrieval(
            first, halves[0][1], second, halves[1][1], metrics=["recall_at_k"], ks=[2]
        )["recall_at_2"],
        "shop_nmi": clustering(first, halves[0][1])["nmi"],
        "part_recall_at_2": retrieval(second, halves[1][1], ks=[2])["recall_at_2"],
        "part_nmi": clustering(second, halves[1][1])["nmi"],
    }
    assert callback.log_names == list(expected)
    for name, value in expected.items():
        assert history[name] == [pytest.approx(value)]


def test_appends_lines_of_json_and_tables_for_tensorboard(
    plain_model, images, tmp_path
):
    callback = Retrieval(
        {"all": images, "first": (images[0][:9], images[1][:9])},
        ks=(1,),
        every_n_epochs=2,
        metrics=("recall_at_k", "mrr"),
        json_path=tmp_path / "new" / "scores.jsonl",
        log_dir=tmp_path / "logs",
    )
    history = fit(plain_model, images, callback, epochs=2)
    lines = (tmp_path / "new" / "scores.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in lines]
    assert [(line["epoch"], line["data"]) for line in lines] == [
        (epoch, name) for epoch in (1, 2) for name in ("all", "first")
    ]
    assert lines[-1]["scores"] == {
        "recall_at_1": history["first_recall_at_1"][-1],
        "mrr": history["first_mrr"][-1],
    }
    log = EventAccumulator(str(tmp_path / "logs")).Reload()
    tables = log.Tensors("retrieval")
    assert log.SummaryMetadata("retrieval").plugin_data.plugin_name == "text"
    assert [table.step for table in tables] == [0, 1]
    assert tables[0].tensor_proto.string_val[0].decode().splitlines() == [
        "| data | recall_at_1 | mrr |",
        "| --- | --- | --- |",
        *(
            f"| {line['data']} | {line['scores']['recall_at_1']:.4f} "
            f"| {line['scores']['mrr']:.4f} |"
            for line in lines[:2]
        ),
    ]


def test_what_watches_its_values_comes_after_it(plain_model, images):
    model = MetricModel(plain_model, ks=(1,))
    model.compile("sgd", loss=plain_model.loss)
    watched = Retrieval({"birds": images}, prefix="val_"), Retrieval(images, ks=(5,))
    stop = keras.callbacks.EarlyStopping("val_recall_at_5", mode="max")
    fit(model, images, *watched, stop)
    with pytest.raises(ValueError, match="or a `callbacks.Retrieval` before it"):
        fit(model, images, stop, *watched)
    with pytest.raises(ValueError, match="In the logs are: birds_recall_at_1, "):
        fit(model, images, watched[0], stop)


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
        ({"metrics": ["recall"]}, "`metrics` must be one or more of 'recall_at_k'"),
        ({"gallery": (np.ones((3, 2)), [0, 0, 1]), "ks": (4,)}, "a gallery of 3"),
    ],
)
def test_refuses_before_training_starts(images, bad, message):
    with pytest.raises(ValueError, match=message):
        Retrieval(images, **bad)


def test_refuses_galleries_of_data_that_is_not_there(images):
    with pytest.raises(ValueError, match="some of its names: a. Received: b"):
        Retrieval({"a": images}, gallery={"b": images})
    with pytest.raises(ValueError, match="a dict like `data`"):
        Retrieval({"a": images}, gallery=images)
    with pytest.raises(ValueError, match="`data` must not be empty"):
        Retrieval({})


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
