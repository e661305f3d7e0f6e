"""Embedders that are converted answer as Keras does, without TensorFlow too."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdml import export

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="exports need TensorFlow's backend"
)

DIM = 8


@pytest.fixture(scope="module")
def embedder():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 16, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(64, 3, strides=2, activation="relu")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalMaxPooling2D()(x)
    # More than 1024 weights: smaller tensors are not quantised.
    x = keras.layers.Dense(128, activation="relu")(x)
    x = keras.layers.Dense(DIM)(x)
    return keras.Model(inputs, keras.layers.UnitNormalization()(x))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (5, 12, 16, 3), "uint8")


@pytest.fixture(scope="module")
def expected(embedder, images):
    return embedder.predict(images.astype("float32"), verbose=0)


class TestLiteRT:
    @pytest.mark.parametrize(
        "quantize, least, most",
        [
            (None, 0, 1e-5),
            # Weights of 11 and of 7 bits, and activations of float32.
            ("float16", 1e-6, 2**-9),
            ("dynamic", 1e-4, 2**-4),
            # And of 8 bits; those of the embeddings are multiples of 2**-7.
            ("int8", 1e-3, 2**-4),
        ],
    )
    def test_answers_as_keras_does(
        self, embedder, images, expected, tmp_path, quantize, least, most
    ):
        path = tmp_path / "new" / "embedder.tflite"
        converted = export.lite_rt(embedder, path, quantize=quantize, images=images)
        for count in (1, 5):
            found = export.predict(path, images[:count])
            np.testing.assert_allclose(found, expected[:count], atol=most)
        assert least <= converted.error <= most
        assert converted.error == pytest.approx(np.abs(found - expected).max(), 1e-2)
        # Float32 weights alone.
        numbers = sum(np.size(weight) for weight in embedder.get_weights())
        width = {None: 4, "float16": 2, "dynamic": 1, "int8": 1}[quantize]
        assert converted.path == path and converted.size == path.stat().st_size
        assert numbers * width < converted.size < numbers * width + 8000
        assert [p.name for p in path.parent.iterdir()] == [path.name]

    @pytest.mark.parametrize(
        "quantize, floats", [("dynamic", {"float32"}), ("int8", set())]
    )
    def test_int8_computes_with_integers_and_dynamic_does_not(
        self, embedder, images, tmp_path, quantize, floats
    ):
        path = tmp_path / "embedder.tflite"
        export.lite_rt(embedder, path, quantize=quantize, images=images)
        model = tf.lite.Interpreter(str(path))
        ends = model.get_input_details() + model.get_output_details()
        assert {end["dtype"] for end in ends} == {np.float32}
        inside = {
            np.dtype(tensor["dtype"]).name
            for tensor in model.get_tensor_details()
            if tensor["index"] not in [end["index"] for end in ends]
        }
        assert "int8" in inside and inside & {"float32"} == floats

    def test_refuses_other_numbers(self, embedder, tmp_path):
        message = "None, 'float16', 'dynamic' or 'int8'. Received: 'int4'"
        with pytest.raises(ValueError, match=message):
            export.lite_rt(embedder, tmp_path / "a.tflite", quantize="int4")

    def test_needs_images_to_find_ranges_of_activations(self, embedder, tmp_path):
        with pytest.raises(ValueError, match="'int8'` needs `images`, some 100"):
            export.lite_rt(embedder, tmp_path / "a.tflite", quantize="int8")


class TestOnnx:
    def test_answers_as_keras_does(self, embedder, images, expected, tmp_path):
        pytest.importorskip("tf2onnx", reason="needs the extra onnx")
        pytest.importorskip("onnxruntime", reason="needs the extra onnx")
        converted = export.onnx(embedder, tmp_path / "embedder.onnx")
        assert converted.error < 1e-5
        for count in (1, 5):
            found = export.predict(converted.path, images[:count])
            np.testing.assert_allclose(found, expected[:count], atol=1e-5)

    def test_names_its_extra(self, embedder, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "tf2onnx", None)
        with pytest.raises(ImportError, match=r"pip install 'kerasdml\[onnx\]'"):
            export.onnx(embedder, tmp_path / "embedder.onnx")


class TestWhatIsWrittenNot:
    def test_a_model_that_answers_otherwise(self, embedder, tmp_path, monkeypatch):
        other = np.zeros((4, DIM), "float32")
        monkeypatch.setattr(export.conversion, "predict", lambda path, images: other)
        with pytest.raises(
            RuntimeError, match="differ from Keras' by .*, more than 1e"
        ):
            export.lite_rt(embedder, tmp_path / "a.tflite")
        assert not list(tmp_path.iterdir())

    def test_over_another_file(self, embedder, tmp_path):
        (tmp_path / "a.tflite").write_text("mine")
        with pytest.raises(FileExistsError, match="nothing is overwritten"):
            export.lite_rt(embedder, tmp_path / "a.tflite")
        assert (tmp_path / "a.tflite").read_text() == "mine"

    def test_under_another_ending(self, embedder, images, tmp_path):
        with pytest.raises(ValueError, match="`path` must end in .tflite. Received"):
            export.lite_rt(embedder, tmp_path / "a.onnx")
        with pytest.raises(ValueError, match="must end in .tflite or .onnx. Received"):
            export.predict(tmp_path / "a.pb", images)

    def test_of_images_of_another_size(self, embedder, images, tmp_path):
        message = r"`images` must be \(b, 12, 16, 3\), as .* shape \(5, 12, 8, 3\)"
        with pytest.raises(ValueError, match=message):
            export.lite_rt(embedder, tmp_path / "a.tflite", images=images[:, :, :8])


# Trains, and says what the embedder answers: in a process whose backend is JAX.
TRAIN_ON_JAX = """
import json, sys
import keras, numpy as np, kerasdml
assert keras.backend.backend() == "jax"
keras.utils.set_random_seed(0)
inputs = keras.Input((12, 16, 3))
x = keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 255)(inputs))
x = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization()(x))
embedder = keras.Model(inputs, keras.layers.Dense(8)(x))
model = kerasdml.MetricModel(embedder)
model.compile("adam", loss=kerasdml.losses.Triplet())
images = np.random.default_rng(1).integers(0, 256, (5, 12, 16, 3)).astype("float32")
model.fit(images, np.array([0, 0, 1, 1, 1]), epochs=2, verbose=0)
embedder.save(sys.argv[1])
print(json.dumps(embedder.predict(images, verbose=0).tolist()))
"""


def test_an_embedder_that_was_trained_on_jax_is_exported(images, tmp_path):
    pytest.importorskip("jax", reason="needs the extra jax")
    saved = tmp_path / "embedder.keras"
    run = subprocess.run(
        [sys.executable, "-c", TRAIN_ON_JAX, str(saved)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    expected = np.array(json.loads(run.stdout.splitlines()[-1]))
    path = export.saved_model(keras.saving.load_model(saved), tmp_path / "servable")
    pixels = np.random.default_rng(1).integers(0, 256, (5, 12, 16, 3)).astype("float32")
    embed = tf.saved_model.load(path).signatures["embed"]
    found = embed(images=tf.constant(pixels))["embeddings"]
    np.testing.assert_allclose(found, expected, atol=1e-4)
