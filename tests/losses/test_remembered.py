"""What losses remember is written by steps of training alone, on either backend."""

import keras
import numpy as np
import pytest

from kerasdml import MetricModel, losses

X = np.random.default_rng(0).normal(size=(24, 3)).astype("float32")
LABELS = np.repeat(np.arange(4), 6)


def remembered(loss):
    return [
        keras.ops.convert_to_numpy(w)
        for layer in loss.layers
        for w in layer.non_trainable_weights
    ]


@pytest.mark.parametrize("name", ["AdaCos", "AdaFace", "Center", "CurricularFace"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_step_of_training_writes_and_evaluation_does_not(name, jit_compile, tmp_path):
    embedder = keras.Sequential([keras.Input((3,)), keras.layers.Identity()])
    model = MetricModel(embedder)
    loss = getattr(losses, name)(num_classes=4)
    optimizer = keras.optimizers.SGD(0.0)
    model.compile(optimizer, loss=loss, jit_compile=jit_compile)
    before = remembered(loss)
    assert before
    model.evaluate(X, LABELS, loss=True, verbose=0)
    for old, new in zip(before, remembered(loss), strict=True):
        np.testing.assert_array_equal(new, old)
    model.fit(X, LABELS, batch_size=12, verbose=0)
    after = remembered(loss)
    for old, new in zip(before, after, strict=True):
        assert np.isfinite(new).all() and (new != old).any()
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for old, new in zip(after, remembered(again.loss), strict=True):
        np.testing.assert_array_equal(new, old)
