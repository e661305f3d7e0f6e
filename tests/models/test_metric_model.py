import json

import keras
import numpy as np
import pytest
from keras import ops

import kerasdml
from kerasdml import losses, metrics
from kerasdml.losses import PairLoss
from kerasdml.step import step

METRICS = {
    "recall_at_1",
    "recall_at_2",
    "precision_at_1",
    "precision_at_2",
    "r_precision",
    "map_at_r",
}


def data(classes=4, per_class=8, size=6, seed=0):
    """Noisy copies of a random prototype a class."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(classes), per_class)
    x = rng.normal(size=(classes, size))[labels] + rng.normal(size=(len(labels), size))
    return x.astype("float32"), labels


def embedder(size=6, dim=3, seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((size,)),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(dim),
        ]
    )


def metric_model(loss, **kwargs):
    model = kerasdml.MetricModel(embedder(), ks=(1, 2))
    model.compile(keras.optimizers.Adam(0.01), loss=loss, **kwargs)
    return model


def values(model):
    """All state of model and optimizer, by path."""
    variables = model.variables + model.optimizer.variables
    return {v.path: ops.convert_to_numpy(v) for v in variables}


def train(model, seed, epochs=1):
    x, labels = data(seed=seed)
    return model.fit(x, labels, batch_size=16, shuffle=False, epochs=epochs, verbose=0)


PROXY_LOSSES = [losses.ProxyAnchor, losses.ProxyNCA, losses.ArcFace]
each_proxy_loss = pytest.mark.parametrize("loss", PROXY_LOSSES)


@each_proxy_loss
def test_proxies_move_in_fit(loss):
    model = metric_model(loss(num_classes=4))
    (path,) = [path for path in values(model) if path.endswith("proxies/points")]
    before = values(model)[path]
    train(model, 0)
    assert np.abs(values(model)[path] - before).max() > 1e-3
    assert path == f"{model.loss.name}/proxies/points"


@each_proxy_loss
def test_keras_file_restores_proxies_and_slots(loss, tmp_path):
    model = metric_model(loss(num_classes=4))
    train(model, 0)
    model.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras")
    assert_next_steps_are_equal(model, twin)


@each_proxy_loss
def test_weights_file_restores_proxies_and_slots(loss, tmp_path):
    model = metric_model(loss(num_classes=4))
    train(model, 0)
    model.save_weights(tmp_path / "model.weights.h5")
    twin = metric_model(loss(num_classes=4, name=model.loss.name))
    train(twin, 5)
    twin.load_weights(tmp_path / "model.weights.h5")
    assert_next_steps_are_equal(model, twin)


def assert_next_steps_are_equal(model, twin):
    assert_equal(list(values(model).values()), list(values(twin).values()))
    train(model, 1)
    train(twin, 1)
    assert_equal(list(values(model).values()), list(values(twin).values()))


def assert_equal(mine, its):
    for a, b in zip(mine, its, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_second_compile_leaves_only_the_new_losses_weights(tmp_path):
    model = metric_model(losses.ProxyAnchor(num_classes=4))
    train(model, 0)
    model.compile("adam", loss=losses.ArcFace(num_classes=7))
    assert [tuple(v.shape) for v in model.trainable_variables][4:] == [(7, 3)]
    train(model, 0)
    model.compile("adam", loss=losses.MultiSimilarity())
    assert len(model.trainable_variables) == len(model.embedder.trainable_variables)
    train(model, 0)
    model.save(tmp_path / "model.keras")
    assert len(keras.saving.load_model(tmp_path / "model.keras").variables) == 4


@each_proxy_loss
def test_a_loss_with_weights_in_a_plain_model_raises(loss):
    model = embedder()
    model.compile("adam", loss=loss(num_classes=4))
    with pytest.raises(ValueError, match="wrap the embedder in kerasdml.MetricModel"):
        train(model, 0)


def test_a_loss_without_weights_trains_a_plain_model():
    model = embedder()
    model.compile(keras.optimizers.Adam(0.01), loss=losses.MultiSimilarity())
    history = train(model, 0, epochs=8).history["loss"]
    assert history[-1] < history[0]


def test_validation_on_unseen_classes_works_with_proxies():
    model = metric_model(losses.ProxyAnchor(num_classes=4))
    x, labels = data(seed=1)
    unseen = (x, labels + 1000)
    logs = model.fit(*data(), validation_data=unseen, epochs=2, verbose=0).history
    assert {name[4:] for name in logs if name.startswith("val_")} == METRICS
    assert logs["val_recall_at_1"][-1] == model.evaluate(*unseen, verbose=0)[0]


def test_evaluate_is_retrieval_over_the_whole_set():
    model = metric_model(losses.MultiSimilarity())
    x, labels = data(per_class=5)
    expected = metrics.retrieval(model.embedder.predict(x), labels, ks=(1, 2))
    found = model.evaluate(x, labels, batch_size=3, return_dict=True, verbose=0)
    assert found.keys() == METRICS
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6)
    assert model.evaluate(x, labels, verbose=0) == list(found.values())


def test_evaluate_searches_a_gallery_if_there_is_one():
    model = metric_model(losses.MultiSimilarity())
    (x, labels), gallery = data(per_class=3), data(per_class=5, seed=1)
    batches = [(gallery[0][:7], gallery[1][:7]), (gallery[0][7:], gallery[1][7:])]
    expected = metrics.retrieval(
        model.embedder.predict(x, verbose=0),
        labels,
        model.embedder.predict(gallery[0], verbose=0),
        gallery[1],
        ks=(1, 2),
    )
    for given in (gallery, batches):
        found = model.evaluate(x, labels, gallery=given, return_dict=True, verbose=0)
        assert found == pytest.approx(expected)


def test_the_metrics_are_those_it_is_told_also_in_validation():
    model = kerasdml.MetricModel(embedder(), ks=(2,), metrics=("map_at_k", "nmi"))
    model.compile("adam", loss=losses.MultiSimilarity())
    stop = keras.callbacks.EarlyStopping("val_nmi", mode="max")
    logs = model.fit(*data(), validation_data=data(), callbacks=[stop], verbose=0)
    assert logs.history.keys() == {"loss", "val_map_at_2", "val_nmi"}
    embeddings, labels = model.embedder.predict(data()[0], verbose=0), data()[1]
    found = model.evaluate(*data(), return_dict=True, verbose=0)
    assert found["nmi"] == pytest.approx(metrics.clustering(embeddings, labels)["nmi"])
    with pytest.raises(ValueError, match="`metrics` must be one or more of .*'nmi'"):
        kerasdml.MetricModel(embedder(), metrics=["accuracy"])


def test_lists_that_no_metric_needs_may_be_longer_than_the_validation_set():
    model = kerasdml.MetricModel(embedder(), ks=(99,), metrics=("mrr",))
    model.compile("adam", loss=losses.MultiSimilarity())
    history = model.fit(*data(), validation_data=data(), verbose=0).history
    assert "val_mrr" in history


@pytest.mark.parametrize("validated", [False, True])
def test_a_monitor_that_validation_does_not_give_is_refused_before_training(validated):
    model = metric_model(losses.MultiSimilarity())
    kwargs = {"validation_data": data()} if validated else {}
    stop = keras.callbacks.EarlyStopping("val_recall_at_10", mode="max")
    message = "In the logs are: val_recall_at_1, " if validated else "needs `validation"
    with pytest.raises(ValueError, match=message):
        model.fit(*data(), callbacks=[stop], verbose=0, **kwargs)
    assert int(model.optimizer.iterations) == 0


def test_evaluate_adds_the_loss_when_asked():
    model = metric_model(losses.MultiSimilarity())
    x, labels = data()
    found = model.evaluate(
        x, labels, batch_size=32, return_dict=True, loss=True, verbose=0
    )
    expected = losses.MultiSimilarity()(labels, model.embedder.predict(x, verbose=0))
    np.testing.assert_allclose(found.pop("loss"), expected, rtol=1e-5)
    assert found.keys() == METRICS


class Weighted(PairLoss):
    """Mean length of the embeddings, weighted by a field."""

    fields = ("weight",)

    def pair_loss(self, similarities, positives, negatives):
        del positives, negatives
        weight = ops.cast(step.fields["weight"], similarities.dtype)
        return weight * ops.mean(similarities, axis=1)


def test_fields_reach_the_loss():
    x, labels = data()
    weight = np.arange(len(x), dtype="float32")
    model = metric_model(Weighted(similarity="dot"))
    fields = {"label": labels, "weight": weight}
    history = model.fit(x, fields, batch_size=len(x), shuffle=False, verbose=0)
    embeddings = ops.convert_to_numpy(embedder()(x))
    expected = np.mean(weight * (embeddings @ embeddings.T).mean(axis=1))
    np.testing.assert_allclose(history.history["loss"][0], expected, rtol=1e-4)


def test_a_missing_field_raises_at_the_first_step():
    x, labels = data()
    model = metric_model(Weighted())
    with pytest.raises(ValueError, match=r"Weighted needs the fields \['weight'\]"):
        model.fit(x, {"label": labels}, verbose=0)
    with pytest.raises(ValueError, match=r"needs the fields \['label'\]"):
        metric_model(losses.MultiSimilarity()).fit(x, {"y": labels}, verbose=0)


def test_further_fields_do_not_disturb_a_loss_that_asks_for_none():
    x, labels = data()
    plain = metric_model(losses.MultiSimilarity())
    with_fields = metric_model(losses.MultiSimilarity())
    kwargs = {"batch_size": 16, "shuffle": False, "verbose": 0}
    fields = {"label": labels, "index": np.arange(len(x))}
    a = plain.fit(x, labels, validation_data=(x, labels), **kwargs).history
    b = with_fields.fit(x, fields, validation_data=(x, fields), **kwargs).history
    assert a == b


@pytest.mark.parametrize("stopper_first", [False, True])
def test_val_recall_at_1_drives_callbacks_in_any_order(stopper_first, tmp_path):
    model = metric_model(losses.ProxyAnchor(num_classes=4))
    model.optimizer.learning_rate = 0.0  # nothing improves
    callbacks = [
        keras.callbacks.EarlyStopping("val_recall_at_1", mode="max", patience=2),
        keras.callbacks.ModelCheckpoint(
            str(tmp_path / "{epoch}-{val_recall_at_1:.3f}.keras")
        ),
    ]
    logs = model.fit(
        *data(),
        validation_data=data(seed=1),
        epochs=10,
        callbacks=callbacks if stopper_first else callbacks[::-1],
        verbose=0,
    ).history
    recall = logs["val_recall_at_1"]
    assert len(recall) == 3, "one epoch, and two of patience"
    expected = {f"{i + 1}-{value:.3f}.keras" for i, value in enumerate(recall)}
    assert {path.name for path in tmp_path.iterdir()} == expected


def test_labels_above_2_to_the_24_stay_apart_in_fit():
    near, far = metric_model(losses.Contrastive()), metric_model(losses.Contrastive())
    x, labels = data()
    kwargs = {"batch_size": 16, "shuffle": False, "verbose": 0}
    expected = near.fit(x, labels, validation_data=(x, labels), **kwargs).history
    labels = labels + 2**24
    found = far.fit(x, labels, validation_data=(x, labels), **kwargs).history
    assert found == expected


@pytest.mark.parametrize(
    "loss",
    [
        losses.ProxyAnchor(num_classes=4),
        losses.MultiSimilarity(miner=kerasdml.miners.MultiSimilarity()),
        losses.Triplet(),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_xla_trains_as_eager_does(loss):
    def twin(**kwargs):
        keras.utils.set_random_seed(0)  # of the proxies, which `from_config` draws
        model = metric_model(type(loss).from_config(loss.get_config()), **kwargs)
        train(model, 0, epochs=3)
        return list(values(model).values())

    eager, jit = twin(run_eagerly=True, jit_compile=False), twin(jit_compile=True)
    for a, b in zip(eager, jit, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize(
    "loss",
    [losses.ProxyAnchor(num_classes=4), losses.MultiSimilarity(), losses.Triplet()],
    ids=lambda loss: type(loss).__name__,
)
def test_mixed_precision_trains_without_nan(policy, loss):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = metric_model(type(loss).from_config(loss.get_config()))
        history = train(model, 0, epochs=12).history["loss"]
    finally:
        keras.config.set_dtype_policy(before)
    assert np.isfinite(history).all() and history[-1] < history[0]
    assert {v.dtype for v in model.trainable_variables} == {"float32"}


def test_a_separate_learning_rate_reaches_the_proxies_alone():
    still = keras.optimizers.SGD(0.0)
    optimizer = keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(
            still, {"(.*/)?proxies/.*": keras.optimizers.SGD(1.0)}
        )
    )
    model = metric_model(losses.ProxyAnchor(num_classes=4))
    model.compile(optimizer, loss=losses.ProxyAnchor(num_classes=4))
    before = [ops.convert_to_numpy(v) for v in model.trainable_variables]
    train(model, 0)
    after = [ops.convert_to_numpy(v) for v in model.trainable_variables]
    moved = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert moved == [False, False, False, False, True]


class Endless(keras.utils.PyDataset):
    steps_per_epoch = 3
    num_batches = None

    def __getitem__(self, index):
        return data(seed=index)


def test_fit_takes_the_length_of_an_epoch_from_the_data_set():
    model = metric_model(losses.MultiSimilarity())
    model.fit(Endless(), epochs=2, verbose=0)
    assert int(model.optimizer.iterations) == 6
    model.fit(Endless(), steps_per_epoch=1, verbose=0)
    assert int(model.optimizer.iterations) == 7


def test_the_embedder_never_contains_a_proxy(tmp_path):
    model = metric_model(losses.ProxyAnchor(num_classes=4))
    train(model, 0)
    model.embedder.save(tmp_path / "embedder.keras")
    alone = keras.saving.load_model(tmp_path / "embedder.keras")
    assert len(alone.variables) == 4
    x, _ = data()
    np.testing.assert_array_equal(
        alone.predict(x, verbose=0), model.predict(x, verbose=0)
    )


def test_config_is_plain_data():
    model = kerasdml.MetricModel(
        embedder(), ks=(1, 5), similarity="dot", metrics=("mrr", "nmi")
    )
    config = json.loads(json.dumps(model.get_config()))
    twin = kerasdml.MetricModel.from_config(config)
    assert (twin.ks, twin.similarity) == ([1, 5], "dot")
    assert twin.evaluated == ["mrr", "nmi"]


def test_labels_beyond_the_number_of_classes_are_refused_before_training():
    model = metric_model(losses.ProxyAnchor(num_classes=3))
    with pytest.raises(ValueError, match=r"Labels must be 0 … 2 .* Received: 0 … 3"):
        model.fit(*data(), verbose=0)


def test_a_k_larger_than_the_validation_set_is_refused_before_training():
    model = metric_model(losses.MultiSimilarity())
    x, labels = data()
    with pytest.raises(ValueError, match="larger than the 1 others .* ks=.1, 2."):
        model.fit(x, labels, validation_data=(x[:2], labels[:2]), verbose=0)
    assert int(model.optimizer.iterations) == 0


def test_float_labels_are_refused_before_training():
    x, labels = data()
    with pytest.raises(ValueError, match="must be integer class ids"):
        metric_model(losses.MultiSimilarity()).fit(x, labels / 2, verbose=0)


def test_keras_metrics_are_refused():
    with pytest.raises(ValueError, match="call `evaluate`, for recall@k"):
        metric_model(losses.MultiSimilarity(), metrics=["accuracy"])


def test_embeddings_that_are_nan_are_named():
    model = metric_model(losses.MultiSimilarity())
    x, labels = data()
    model.embedder.layers[-1].bias.assign([0.0, np.nan, 0.0])
    with pytest.raises(ValueError, match="32 of 32 rows hold NaN or infinity, row 0"):
        model.evaluate(x, labels, verbose=0)


def test_an_embedder_without_input_is_refused():
    with pytest.raises(ValueError, match="`embedder` must be built"):
        kerasdml.MetricModel(keras.Sequential([keras.layers.Dense(3)]))


def test_an_embedder_of_feature_maps_is_refused():
    maps = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3)])
    with pytest.raises(ValueError, match=r"must give embeddings of shape \(q, d\)"):
        kerasdml.MetricModel(maps)
