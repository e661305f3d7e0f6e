"""Training that is interrupted, saved and gone on with, beside training in one go."""

import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import ops

ROOT = Path(__file__).parents[1]

GO_ON = """
import pickle
import sys
from tests.checkpoints import go_on

go_on(*sys.argv[1:], pickle.loads(sys.stdin.buffer.read()))
"""


def assert_interruption_changes_nothing(make_model, batch, steps=3, weights=False):
    """Asserts that a model saved half-way ends as one that trains in one go.

    One model trains `2 * steps` steps. Another trains `steps`, is saved, loaded in a
    new process, and trains the others there. All weights, what losses remember and the
    optimizer's slots included, must be equal in the end, bit by bit.

    Args:
        make_model: Function of no arguments that returns a compiled
            `kerasdml.MetricModel`, the same on every call, by its own seeds. It is a
            public function of a module under `tests`, so that the new process finds it.
        batch: Function of a step, 0 … 2 * steps - 1, that returns its batch, `(x, y)`
            with `y` labels or a dict of fields; public as well.
        steps: Steps before saving, and after.
        weights: Whether to save `.weights.h5`, for a new model of `make_model`, in
            place of `.keras`, a whole model.

    Example:

    >>> def make_model():
    ...     keras.utils.set_random_seed(0)
    ...     embedder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    ...     model = kerasdml.MetricModel(embedder)
    ...     model.compile("adam", loss=kerasdml.losses.Center(num_classes=2))
    ...     return model

    >>> def batch(step):
    ...     x = np.random.default_rng(step).normal(size=(8, 4)).astype("float32")
    ...     return x, np.repeat([0, 1], 4)

    >>> assert_interruption_changes_nothing(make_model, batch)
    """
    whole, part = make_model(), make_model()
    train(whole, batch, range(2 * steps))
    train(part, batch, range(steps))
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / ("model.weights.h5" if weights else "model.keras")
        (part.save_weights if weights else part.save)(saved)
        ended = Path(folder) / "ended.npz"
        _run(pickle.dumps((make_model, batch, range(steps, 2 * steps))), saved, ended)
        with np.load(ended) as values:
            ended = [values[f"{i}"] for i in range(len(values.files))]
    expected = state(whole)
    assert len(ended) == len(expected), "The loaded model has other weights."
    for (path, value), other in zip(expected, ended, strict=True):
        np.testing.assert_array_equal(other, value, err_msg=path)


def train(model, batch, steps):
    """Trains a model on the batches of these steps."""
    for i in steps:
        model.train_on_batch(*batch(i))


def state(model):
    """Returns all state of a model and its optimizer: pairs of path and array."""
    variables = [*model.variables, *model.optimizer.variables]
    return [(v.path, ops.convert_to_numpy(v)) for v in variables]


def go_on(saved, ended, how):
    """Loads what was saved, trains the rest, and writes the state it ends in."""
    make_model, batch, steps = how
    if saved.endswith(".keras"):
        model = keras.saving.load_model(saved)
    else:
        model = make_model()
        model.load_weights(saved)
    train(model, batch, steps)
    np.savez(ended, **{f"{i}": value for i, (_, value) in enumerate(state(model))})


def _run(how, *paths):
    command = [sys.executable, "-c", GO_ON, *map(str, paths)]
    done = subprocess.run(command, input=how, capture_output=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
