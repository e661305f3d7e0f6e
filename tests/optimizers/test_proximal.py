import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from kerasdml import MetricModel, data, losses, miners
from kerasdml.optimizers import Proximal
from tests.checkpoints import assert_interruption_changes_nothing


def variable(value, name="w"):
    return keras.Variable(np.asarray(value, "float32"), name=name)


def test_nothing_pulls_in_the_first_instance_and_then_the_gradient_is_the_distance():
    # Steps of 1 along constant gradients; 3 steps an instance, weight 0.5, decay 0.1.
    w = variable([1.0, 2.0])
    optimizer = Proximal(keras.optimizers.SGD(1.0), weight=0.5, lifetime=3, decay=0.1)
    push = np.array([1.0, 0.0], "float32")
    expected, anchor = np.array([1.0, 2.0]), None
    for step in range(9):
        optimizer.apply([ops.convert_to_tensor(push)], [w])
        instance = step // 3
        anchor = expected if step % 3 == 0 else anchor
        pull = 0.5 * 0.1**instance if instance else 0.0
        expected = expected - push - pull * (expected - anchor)
        np.testing.assert_allclose(w, expected, rtol=1e-6)


def test_toy_projections_end_where_both_constraints_hold():
    # Hinges of t1 >= 1, then of t2 >= 2, then both again: (1, 0), (1, 2), and stays.
    t = variable([0.0, 0.0])
    optimizer = Proximal(keras.optimizers.SGD(0.05), weight=0.01, lifetime=45)
    ends = []
    for constrained in (0, 1, 0, 1):
        for _ in range(45):
            violated = ops.convert_to_numpy(t)[constrained] < constrained + 1
            gradient = np.zeros(2, "float32")
            gradient[constrained] = -1.0 if violated else 0.0
            optimizer.apply([ops.convert_to_tensor(gradient)], [t])
        ends.append(ops.convert_to_numpy(t))
    for end, expected in zip(ends, [(1, 0), (1, 2), (1, 2), (1, 2)], strict=True):
        np.testing.assert_allclose(end, expected, atol=0.06)  # a step or so


def model_of(optimizer, loss=None, **options):
    keras.utils.set_random_seed(0)
    embedder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model = MetricModel(embedder)
    loss = loss or losses.MultiSimilarity(miner=miners.Representatives())
    model.compile(optimizer, loss=loss, **options)
    return model


X = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")
LABELS = np.repeat(np.arange(8), 4)


def batches_of(epochs=1, lifetime=2):
    planned = data.representative_batches(LABELS, 4, 4, lifetime)
    rows = np.concatenate([planned(epoch) for epoch in range(epochs)])
    return X[rows], LABELS[rows]


def take_steps(model, count, begin=0):
    x, labels = batches_of(epochs=8)
    for rows, y in list(zip(x, labels, strict=True))[begin : begin + count]:
        model.train_on_batch(rows, y)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_trains_as_adam_alone_until_the_first_instance_is_over(jit_compile):
    proximal = model_of(
        Proximal("adam", weight=10.0, lifetime=2), jit_compile=jit_compile
    )
    plain = model_of("adam", jit_compile=jit_compile)
    # The first step of an instance is where its anchor is.
    for count, close in ((3, True), (1, False)):
        for model in (proximal, plain):
            take_steps(model, count, begin=3 - count)
        mine, others = (model.embedder.get_weights()[0] for model in (proximal, plain))
        assert np.allclose(mine, others, atol=1e-6) == close


def pulled_model():
    return model_of(Proximal("adam", weight=10.0, lifetime=2))


def batch(step):
    x, labels = batches_of(epochs=4)
    return x[step], labels[step]


@pytest.mark.parametrize("weights", [False, True])
def test_an_interruption_changes_nothing(weights):
    # The third of 6 steps begins an instance, in the midst of which it is saved.
    assert_interruption_changes_nothing(pulled_model, batch, weights=weights)


def test_a_pull_that_outweighs_the_loss_holds_the_weights():
    held, free = (
        model_of(Proximal(keras.optimizers.SGD(1e-3), weight=weight, lifetime=8))
        for weight in (900.0, 0.0)
    )
    moved = []
    for model in (held, free):
        take_steps(model, 8)
        before = model.embedder.get_weights()[0]
        take_steps(model, 8, begin=8)
        moved.append(np.abs(model.embedder.get_weights()[0] - before).max())
    assert moved[0] < 0.5 * moved[1]


def test_proxies_are_left_alone():
    optimizer = Proximal("adam", lifetime=2)
    model_of(optimizer, losses.ProxyAnchor(num_classes=8))
    names = [x.path for x in optimizer.variables if x.path.endswith("_anchor")]
    assert len(names) == 2 and not any("proxies" in name for name in names)
    everything = Proximal("adam", lifetime=2, exclude=None)
    model_of(everything, losses.ProxyAnchor(num_classes=8))
    assert len(everything.variables) == len(optimizer.variables) + 1


def test_its_learning_rate_is_that_of_the_other_optimizer():
    optimizer = Proximal(keras.optimizers.Adam(0.25), lifetime=2)
    optimizer.build([variable([1.0])])
    assert float(optimizer.learning_rate) == 0.25
    optimizer.learning_rate = 0.5
    assert float(optimizer.optimizer.learning_rate) == 0.5


def test_config_round_trip():
    optimizer = Proximal(
        keras.optimizers.AdamW(0.25), weight=0.1, lifetime=7, decay=0.5, exclude=None
    )
    config = keras.saving.serialize_keras_object(optimizer)
    twin = keras.saving.deserialize_keras_object(config)
    assert type(twin) is Proximal and twin.get_config() == optimizer.get_config()


@pytest.mark.parametrize(
    "bad",
    [{"weight": -1.0}, {"lifetime": 0}, {"decay": 0.0}],
)
def test_rejects_numbers_out_of_range(bad):
    (name, value), *_ = bad.items()
    with pytest.raises(ValueError, match=f"`lifetime` must be .*{name}={value}"):
        Proximal(**{"lifetime": 2, **bad})


ON_TWO_REPLICAS = """
import keras
import numpy as np
import tensorflow as tf
import kerasdml
from kerasdml.optimizers import Proximal

cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

# Both replicas get the same 4 examples, so that each has the gradient of one device.
x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
labels = np.array([0, 0, 1, 1])

def trained(x, labels):
    keras.utils.set_random_seed(0)
    embedder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    model = kerasdml.MetricModel(embedder, ks=[1])
    optimizer = Proximal(keras.optimizers.SGD(0.1), weight=2.0, lifetime=2)
    model.compile(optimizer, loss=kerasdml.losses.MultiSimilarity())
    data = tf.data.Dataset.from_tensor_slices((x, labels)).batch(len(x))
    model.fit(data, epochs=6, verbose=0)
    return [keras.ops.convert_to_numpy(w) for w in embedder.weights]

one = trained(x, labels)
with strategy.scope():
    two = trained(np.tile(x, (2, 1)), np.tile(labels, 2))
for a, b in zip(one, two, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-6)
"""


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's"
)
def test_two_replicas_of_one_batch_train_as_one_device():
    command = [sys.executable, "-c", ON_TWO_REPLICAS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
