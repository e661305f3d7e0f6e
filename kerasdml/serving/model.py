"""A SavedModel that answers: arrays in, arrays out, no HTTP and no JSON."""

import copy
import importlib
import json
import re

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from kerasdml.index.files import sha256
from kerasdml.serving.errors import ServingError
from kerasdml.serving.images import MAX_PIXELS, check_image
from kerasdml.serving.signature import (
    DEFAULT_SIGNATURE,
    IMAGES,
    Signature,
    TensorSpec,
)
from kerasdml.serving.versions import Version

# Where `export.saved_model` says what its files are.
HASHES = "assets.extra/sha256.json"

_HTTP_STATUS = {
    tf.errors.INVALID_ARGUMENT: 400,
    tf.errors.FAILED_PRECONDITION: 400,
    tf.errors.OUT_OF_RANGE: 400,
    tf.errors.RESOURCE_EXHAUSTED: 429,
}


class ServedModel:
    """One version of a SavedModel, loaded; `predict` may be called by many threads.

    Args:
        version: Where it lies and what it is called.
        max_pixels: Largest height times width of an image that it decodes.

    Raises:
        ImportError: If it searches with ScaNN and the scann package is not installed.
        ValueError: If its `saved_model.pb` is damaged, or a file is not what was
            exported.
    """

    def __init__(self, version: Version, max_pixels: int = MAX_PIXELS):
        _check_files(version.path)
        graph = _read_graph(version.path)
        _import_ops(graph, version.path)
        self.path = version.path
        self.name = version.name
        self.version = version.number
        self._max_pixels = max_pixels
        # Copied, as a part of a protobuf keeps the whole, the graph's constants too.
        self.signature_defs = copy.deepcopy(dict(graph.signature_def))
        # The functions die with the object that was loaded, so it is kept.
        self._loaded = tf.saved_model.load(str(version.path))
        self.signatures = {
            name: Signature(
                name,
                _specs(definition.inputs),
                _specs(definition.outputs),
                {k: tf.make_ndarray(v) for k, v in definition.defaults.items()},
            )
            for name, definition in graph.signature_def.items()
            if name in self._loaded.signatures
        }

    def signature(self, name: str) -> Signature:
        """The signature of that name, `serving_default` for an empty one."""
        name = name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise ServingError(
                400,
                f"Unknown signature {name!r}. "
                f"Model {self.name!r} has: {', '.join(sorted(self.signatures))}.",
            )
        return self.signatures[name]

    def predict(
        self, signature: Signature, inputs: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Calls a signature with an array for each of its inputs.

        Args:
            signature: One of this model's.
            inputs: Name to array, of the signature's dtypes; strings as `bytes`.

        Returns:
            Name to array of each output.

        Raises:
            ServingError: If a type or shape does not fit, an image is not one, or the
                graph refuses the values.
        """
        self.check(signature, inputs)
        return self.run(signature, inputs)

    def check(self, signature: Signature, inputs: dict[str, np.ndarray]):
        """Refuses, as `predict` does, what can be refused without running the graph."""
        signature.check_arrays(inputs)
        _check_headers(_images(inputs), self._max_pixels)

    def run(
        self, signature: Signature, inputs: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """As `predict`, for inputs that `check` has let pass."""
        tensors = {
            name: tf.constant(inputs[name], dtype=spec.dtype)
            for name, spec in signature.inputs.items()
        }
        try:
            outputs = self._loaded.signatures[signature.name](**tensors)
        except tf.errors.OpError as error:
            _check_decodable(_images(inputs))
            raise _serving_error(error) from error
        return {name: tensor.numpy() for name, tensor in outputs.items()}


def _check_files(path):
    """Refuses a version of which a file was damaged, as far as it says what they are.

    TensorFlow itself notices this of variables alone.
    """
    listed = path / HASHES
    if not listed.exists():
        return
    for name, expected in json.loads(listed.read_text()).items():
        if sha256(path / name) != expected:
            raise ValueError(
                f"{path / name} was changed since it was exported: its SHA-256 is not "
                f"that of {HASHES}. Copy or export the version anew."
            )


def _read_graph(path):
    file = path / "saved_model.pb"
    try:
        return saved_model_pb2.SavedModel.FromString(file.read_bytes()).meta_graphs[0]
    except (DecodeError, IndexError) as error:
        raise ValueError(f"{file} must be a SavedModel, but it is damaged.") from error


def _import_ops(graph, path):
    """Registers the ScaNN ops if the graph has any: it does not load without."""
    functions = graph.graph_def.library.function
    nodes = [*graph.graph_def.node, *(n for f in functions for n in f.node_def)]
    if any(node.op.startswith("Scann>") for node in nodes):
        try:
            importlib.import_module("scann.scann_ops.py.scann_ops")
        except ImportError as error:
            raise ImportError(
                f"{path} searches with ScaNN and needs the scann package "
                "(Linux x86-64): pip install scann==1.4.2. "
                "A model exported with `index.Exact` needs nothing."
            ) from error


def _images(inputs):
    return inputs[IMAGES].ravel() if IMAGES in inputs else ()


def _specs(infos):
    return {name: _spec(info) for name, info in infos.items()}


def _spec(info):
    dims = [None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim]
    return TensorSpec(
        np.dtype(tf.as_dtype(info.dtype).as_numpy_dtype),
        None if info.tensor_shape.unknown_rank else tuple(dims),
    )


def _check_headers(images, max_pixels):
    for i, image in enumerate(images):
        try:
            check_image(image, max_pixels)
        except ValueError as error:
            raise ServingError(400, f"`{IMAGES}[{i}]` {error}") from error


def _check_decodable(images):
    """Names the image that made the graph fail, if one did.

    Decoding each alone is too dear to do before every call, but a call that has failed
    can afford it.
    """
    for i, image in enumerate(images):
        try:
            tf.io.decode_image(image, expand_animations=False)
        except tf.errors.OpError as error:
            raise ServingError(
                400, f"`{IMAGES}[{i}]` cannot be decoded: {_reason(error)}"
            ) from error


def _serving_error(error):
    status = _HTTP_STATUS.get(error.error_code, 500)
    return ServingError(status, f"The model failed: {_reason(error)}")


def _reason(error):
    """TensorFlow's message without the graph nodes and traces around it."""
    text = error.message.partition("\n\t [[")[0].rstrip()
    return re.sub(r"\{\{.*?\}\}\s*", "", text.rpartition("\n")[2])
