"""Training on several replicas, in a process that has two of them."""

import functools
import json
import os
import subprocess
import sys

import keras
import pytest

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's"
)
on_jax = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="keras.distribution is complete on JAX"
)

# What is trained on one device and on two, three steps of each, must end alike.
SCRIPT = """
import contextlib
import json
import sys
import keras
import numpy as np
import kerasdml
from kerasdml import losses
from kerasdml.references import AllReplicas, MemoryBank

rng = np.random.default_rng(0)
x = rng.normal(size=(3, 8, 3)).astype("float32")
labels = np.tile([0, 1, 0, 1, 2, 2, 3, 0], (3, 1))
kernel = rng.normal(size=(3, 3)).astype("float32")
weights = np.tile(np.arange(8) / 4, (3, 1)).astype("float32")

def trained(loss, *data):
    keras.utils.set_random_seed(0)
    embedder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    embedder.layers[0].kernel.assign(kernel)
    model = kerasdml.MetricModel(embedder, ks=[1])
    model.compile(keras.optimizers.SGD(0.1), loss=eval(loss), jit_compile=JIT)
    data = [x.reshape(-1, *x.shape[2:]) for x in data]
    history = model.fit(
        *data[:2],
        sample_weight=data[2] if data[2:] else None,
        batch_size=len(data[0]) // 3,
        shuffle=False,
        verbose=0,
    )
    values = [keras.ops.convert_to_numpy(w) for w in model.weights]
    assert np.abs(values[0] - kernel).max() > 1e-3
    return [np.array(history.history["loss"][:1]), *values]

def difference(case):
    loss, mode = case["loss"], case.get("mode")
    data = x, labels, *([weights] if mode == "weighted" else [])
    one = trained(loss, *data)
    if mode == "twice":
        data = [np.concatenate([x, x], axis=1) for x in data]
    with two_devices():
        two = trained(loss, *data)
    return max(float(np.abs(a - b).max()) for a, b in zip(one, two, strict=True))

"""

MIRRORED = """
import tensorflow as tf

JIT = False
cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
two_devices = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope
"""

PARALLEL = """
JIT = True

@contextlib.contextmanager
def two_devices():
    assert len(keras.distribution.list_devices()) == 2
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    yield
    keras.distribution.set_distribution(None)
"""

END = "print(json.dumps([difference(case) for case in json.loads(sys.argv[1])]))"

# Both replicas get the same 8 examples, so that each has the gradient of one device.
TWICE = [
    "losses.MultiSimilarity()",
    "losses.ProxyNCA(num_classes=4)",
    "losses.Contrastive() + losses.NormalizedSoftmax(num_classes=4)",
    "losses.Ensemble(penalty=0.0, losses=[losses.Contrastive(), "
    "losses.NormalizedSoftmax(num_classes=4)])",
]
# The whole batch is divided among the replicas.
GATHERED = [
    "losses.MultiSimilarity(references=[AllReplicas()])",
    "losses.MultiSimilarity(references=[AllReplicas()], row_blocks=2)",
    "losses.SupCon(references=[AllReplicas()])",
    "losses.SupCon(references=[AllReplicas()], average='active')",
    "losses.Triplet(references=[AllReplicas()])",
    "losses.LiftedStructure(references=[AllReplicas()])",
    "losses.ProxyAnchor(num_classes=4, references=[AllReplicas()])",
    "losses.Contrastive(references=[AllReplicas()]) + "
    "losses.ProxyAnchor(num_classes=4, references=[AllReplicas()])",
    "losses.MultiSimilarity(references=[AllReplicas(), MemoryBank(20)])",
]
CASES = [
    *({"loss": loss, "mode": "twice"} for loss in TWICE),
    *({"loss": loss} for loss in GATHERED),
    {"loss": GATHERED[0], "mode": "weighted"},
]
PARALLEL_CASES = [
    {"loss": "losses.MultiSimilarity()"},
    {"loss": "losses.MultiSimilarity(references=[AllReplicas()])"},
    {"loss": "losses.SupCon()"},
    {"loss": "losses.ProxyAnchor(num_classes=4)"},
    {"loss": "losses.MultiSimilarity(references=[MemoryBank(20)])"},
]


def name_of(case):
    return " ".join(case.values())


@functools.cache
def differences(script, cases, **environment):
    """What each case differs by in the end, in one process for all of them."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + script + END, cases],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@on_tensorflow
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_two_replicas_train_as_one_device(case):
    found = differences(MIRRORED, json.dumps(CASES))[CASES.index(case)]
    assert found <= 1e-6


@on_jax
@pytest.mark.parametrize("case", PARALLEL_CASES, ids=name_of)
def test_two_devices_of_data_parallel_train_as_one(case):
    flags = "--xla_force_host_platform_device_count=2"
    found = differences(PARALLEL, json.dumps(PARALLEL_CASES), XLA_FLAGS=flags)
    assert found[PARALLEL_CASES.index(case)] <= 1e-6
