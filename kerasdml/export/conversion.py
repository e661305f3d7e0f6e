"""Embedders for devices and runtimes without TensorFlow: LiteRT and ONNX."""

import contextlib
import functools
import importlib
import os
import pathlib
import tempfile
import warnings
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from kerasdml.export import checks
from kerasdml.layers import L2Normalization

# Of a coordinate, or of the share of the largest one, where that exceeds 1.
TOLERANCE = 1e-4


class Converted(NamedTuple):
    """An embedder in another format.

    Args:
        path: Its file.
        size: Of the file, in bytes.
        error: How far its embeddings are from Keras', at most: the largest difference
            of a coordinate, divided by the largest coordinate if that exceeds 1.
    """

    path: pathlib.Path
    size: int
    error: float


def lite_rt(
    embedder: keras.Model,
    path: str | os.PathLike,
    quantize: str | None = None,
    images: np.ndarray | None = None,
) -> Converted:
    """Writes an embedder for LiteRT (TensorFlow Lite): phones and small computers.

    The file takes float32 images `(b, h, w, c)` in 0 … 255, with preprocessing inside,
    and gives `(b, d)` embeddings. It needs LiteRT's own operations alone. Its answers
    are compared with Keras' before it appears.

    Args:
        embedder: As for `saved_model`.
        path: The file to write, `….tflite`.
        quantize: None for float32 weights; "float16" for a file half as large;
            "dynamic" for 8-bit weights, a quarter, where activations stay float32, and
            biases and other small tensors too; "int8" for 8-bit weights and
            activations (LiteRT's full integer quantisation), also a quarter, which
            accelerators for integers run; its input and output stay float32. What is
            lost is in `error`, and in recall as `predict` shows.
        images: `(b, h, w, c)` images in 0 … 255 to compare on; None for noise. "int8"
            needs them, some 100 such as the embedder will get: the ranges of its
            activations are those of these images.

    Returns:
        A `Converted`.

    Raises:
        FileExistsError: If there is a file at `path`. Nothing is overwritten.
        RuntimeError: If the backend of Keras is not TensorFlow, or, without `quantize`,
            if embeddings differ from Keras' by more than 1e-4.
        ValueError: If an argument is not as above.

    Example:

    >>> kerasdml.export.lite_rt(embedder, "birds.tflite", quantize="dynamic").size
    """
    _check_quantize(quantize, images)
    options = {} if quantize is None else {"optimizations": [tf.lite.Optimize.DEFAULT]}
    if quantize == "int8":
        options["representative_dataset"] = functools.partial(_one_by_one, images)
    target = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    if quantize == "float16":
        target["supported_types"] = [tf.float16]
    return _converted(
        "lite_rt",
        "litert",
        embedder,
        path,
        images,
        tolerance=TOLERANCE if quantize is None else np.inf,
        target_spec=target,
        **options,
    )


def onnx(
    embedder: keras.Model,
    path: str | os.PathLike,
    images: np.ndarray | None = None,
) -> Converted:
    """Writes an embedder as ONNX, for ONNX Runtime and what else reads it.

    The file takes float32 images `(b, h, w, c)` in 0 … 255, with preprocessing inside,
    and gives `(b, d)` embeddings. Its answers in ONNX Runtime are compared with Keras'
    before it appears. Needs `pip install 'kerasdml[onnx]'`.

    Args:
        embedder: As for `saved_model`.
        path: The file to write, `….onnx`.
        images: `(b, h, w, c)` images in 0 … 255 to compare on; None for noise.

    Returns:
        A `Converted`.

    Raises:
        FileExistsError: If there is a file at `path`. Nothing is overwritten.
        ImportError: If the packages of the extra `onnx` are missing.
        RuntimeError: If the backend of Keras is not TensorFlow, or if embeddings differ
            from Keras' by more than 1e-4.
        ValueError: If an argument is not as above.

    Example:

    >>> kerasdml.export.onnx(embedder, "birds.onnx").error
    """
    for package in ("tf2onnx", "onnxruntime"):
        _import(package)
    return _converted("onnx", "onnx", embedder, path, images, tolerance=TOLERANCE)


def predict(path: str | os.PathLike, images: np.ndarray) -> np.ndarray:
    """Embeddings by a file that `lite_rt` or `onnx` wrote, to measure what it lost.

    Args:
        path: `….tflite` or `….onnx`.
        images: `(b, h, w, c)` images in 0 … 255.

    Returns:
        `(b, d)` float32 embeddings.

    Raises:
        ImportError: If it is ONNX and the packages of the extra `onnx` are missing.
        ValueError: If `path` ends otherwise.
    """
    path = pathlib.Path(path)
    images = np.asarray(images, "float32")
    if path.suffix == ".tflite":
        return _in_parts(_lite_rt_embedder(path), images)
    if path.suffix == ".onnx":
        return _in_parts(_onnx_embedder(path), images)
    raise ValueError(f"`path` must end in .tflite or .onnx. Received: {str(path)!r}.")


def _converted(name, kind, embedder, path, images, tolerance, **options):
    checks.check_backend(name)
    embedder = getattr(embedder, "embedder", embedder)
    checks.check_embedder(embedder)
    images = _images(images, embedder.inputs[0].shape[1:])
    with _new_file(path, {"litert": ".tflite", "onnx": ".onnx"}[kind]) as draft:
        # First, as Keras converts to ONNX only what was called since it was loaded.
        expected = _in_parts(functools.partial(embedder, training=False), images)
        model = _with_fused_normalization(embedder) if kind == "litert" else embedder
        model.export(str(draft), format=kind, verbose=False, **options)
        # `not <=`, so that NaN is refused.
        found = predict(draft, images)
        error = _error(found, expected)
        if not error <= tolerance:
            raise RuntimeError(
                f"`export.{name}` gave a model whose embeddings differ from Keras' by "
                f"{error:.1e}, more than {tolerance:.0e}, so it was not kept. A layer "
                "of the embedder is converted wrongly, or computes in half precision."
            )
    path = pathlib.Path(path)
    return Converted(path, path.stat().st_size, error)


def _check_quantize(quantize, images):
    if quantize not in (None, "float16", "dynamic", "int8"):
        raise ValueError(
            "`quantize` must be None, 'float16', 'dynamic' or 'int8'. "
            f"Received: {quantize!r}."
        )
    if quantize == "int8" and images is None:
        raise ValueError(
            "`quantize='int8'` needs `images`, some 100 such as the embedder will get. "
            "`quantize='dynamic'` needs none."
        )


def _one_by_one(images):
    for image in images:
        yield [np.asarray(image, "float32")[np.newaxis]]


class _FusedNormalization(keras.layers.Layer):
    """Scales embeddings to length 1 as LiteRT knows by one operation.

    Made of several, as other layers make it, it fails in 8 bits, of which the squares
    and the root need more: cosines with Keras' embeddings were 0.57 in the place of 1.
    """

    def call(self, embeddings):
        return tf.math.l2_normalize(embeddings, axis=-1)


def _with_fused_normalization(embedder):
    last = embedder.layers[-1]
    if not isinstance(last, L2Normalization | keras.layers.UnitNormalization):
        return embedder
    fused = _FusedNormalization(dtype="float32")
    return keras.Model(embedder.inputs, fused(last.input))


def _images(images, shape):
    if images is None:
        return np.random.default_rng(0).uniform(0, 255, (4, *shape)).astype("float32")
    images = np.asarray(images, "float32")
    if images.shape[1:] != tuple(shape) or not len(images):
        raise ValueError(
            f"`images` must be (b, {', '.join(map(str, shape))}), as the embedder "
            f"takes them. Received: shape {images.shape}."
        )
    return images


def _in_parts(embed, images, size=32):
    parts = (images[start : start + size] for start in range(0, len(images), size))
    return np.concatenate([np.asarray(embed(part)) for part in parts])


def _error(found, expected):
    return float(np.abs(found - expected).max() / max(1, np.abs(expected).max()))


@contextlib.contextmanager
def _new_file(path, suffix):
    """Yields a file to write, which becomes `path` when the block succeeds."""
    path = pathlib.Path(path)
    if path.suffix != suffix:
        raise ValueError(f"`path` must end in {suffix}. Received: {str(path)!r}.")
    if path.exists():
        raise FileExistsError(
            f"{str(path)!r} exists already, and nothing is overwritten."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
        draft = pathlib.Path(folder) / path.name
        yield draft
        draft.rename(path)


def _lite_rt_embedder(path):
    with warnings.catch_warnings():
        # It is to go, but in versions of TensorFlow that setup.py excludes.
        warnings.filterwarnings(
            "ignore", r"\s*Warning: tf.lite.Interpreter is deprecated"
        )
        model = tf.lite.Interpreter(str(path))
    (taken,), (given,) = model.get_input_details(), model.get_output_details()

    def embed(images):
        model.resize_tensor_input(taken["index"], images.shape)
        model.allocate_tensors()
        model.set_tensor(taken["index"], images)
        model.invoke()
        return model.get_tensor(given["index"])

    return embed


def _onnx_embedder(path):
    session = _import("onnxruntime").InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    (taken,) = session.get_inputs()
    return lambda images: session.run(None, {taken.name: images})[0]


def _import(package):
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"ONNX needs the package {package}: pip install 'kerasdml[onnx]'."
        ) from error
