"""Training on several replicas, in a process that has two of them."""

import subprocess
import sys

import keras
import pytest

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's"
)

SCRIPT = """
import sys
import keras
import numpy as np
import tensorflow as tf
import kerasdml
from kerasdml import losses

cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

# Both replicas get the same 8 examples, so that each has the gradient of one device.
x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
labels = np.array([0, 0, 1, 1, 2, 2, 3, 3])
kernel = np.random.default_rng(1).normal(size=(3, 3)).astype("float32")
loss = eval(sys.argv[1])

def trained(x, labels):
    keras.utils.set_random_seed(0)
    embedder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    embedder.layers[0].kernel.assign(kernel)
    model = kerasdml.MetricModel(embedder, ks=[1])
    model.compile(keras.optimizers.SGD(0.1), loss=loss())
    data = tf.data.Dataset.from_tensor_slices((x, labels)).batch(len(x))
    model.fit(data, epochs=2, verbose=0)
    return [keras.ops.convert_to_numpy(w) for w in model.trainable_variables]

one = trained(x, labels)
with strategy.scope():
    two = trained(np.tile(x, (2, 1)), np.tile(labels, 2))
assert np.abs(one[0] - kernel).max() > 1e-3
for a, b in zip(one, two, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-6)
"""


@pytest.mark.parametrize(
    "loss",
    [
        "losses.MultiSimilarity",
        "lambda: losses.ProxyNCA(num_classes=4)",
        "lambda: losses.Contrastive() + losses.NormalizedSoftmax(num_classes=4)",
    ],
)
def test_two_replicas_of_one_batch_train_as_one_device(loss):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, loss], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
