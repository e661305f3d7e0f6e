"""Files of a version that its graph does not read: a SavedModel's "assets.extra"."""

import json
import os
import pathlib

import numpy as np
import tensorflow as tf

from kerasdml.index.files import sha256

# For readers that have no TensorFlow.
CALIBRATION = "assets.extra/calibration.json"
ITEMS = "assets.extra/items.jsonl"
# Name to SHA-256 of each file of the version but those beside the graph.
HASHES = "assets.extra/sha256.json"

# Where TensorFlow Serving looks for them.
REQUESTS = "assets.extra/tf_serving_warmup_requests"


def read_examples(examples, image_shape):
    """The JPEG or PNG files of `examples`; of None, that of a grey image.

    Raises:
        ValueError: If there are none, or one is not an image; it is named.
    """
    if examples is None:
        grey = np.full(image_shape, 128, "uint8")
        return [tf.io.encode_png(grey).numpy()]
    if isinstance(examples, str | bytes | os.PathLike) or not len(examples):
        raise ValueError(
            "`examples` must be a list of JPEG or PNG files, their paths or their "
            f"bytes, at least one. Received: {type(examples).__name__}."
        )
    return [_read(example, i, image_shape[-1]) for i, example in enumerate(examples)]


def _read(example, i, channels):
    content = example
    if not isinstance(example, bytes):
        content = pathlib.Path(example).read_bytes()
    try:
        tf.io.decode_image(content, channels=channels, expand_animations=False)
    except tf.errors.InvalidArgumentError as error:
        name = "bytes" if content is example else repr(os.fspath(example))
        raise ValueError(
            f"`examples[{i}]` must be a JPEG or PNG file. Received: {name}."
        ) from error
    return content


def write_extras(directory, module, functions, index, calibration, k, examples):
    """Writes what lies beside the graph of a version.

    Args:
        directory: Of the version.
        module: What `graph.servable` returned.
        functions: What `signatures.signatures` returned.
        index: The index that is exported, or None.
        calibration: A `Calibration`, or None.
        k: Neighbours that the searches give.
        examples: What `read_examples` returned.
    """
    (directory / REQUESTS).parent.mkdir()
    # Files beside the graph may change, such as requests of one's own.
    hashes = {
        str(file.relative_to(directory)): sha256(file)
        for file in sorted(directory.rglob("*"))
        if file.is_file()
    }
    (directory / HASHES).write_text(json.dumps(hashes, indent=2) + "\n")
    if calibration is not None:
        text = calibration.to_json() + "\n"
        (directory / CALIBRATION).write_text(text, encoding="utf-8")
    if index is not None:
        _write_items(directory / ITEMS, index)
    values = _values(module, calibration, k, examples)
    with tf.io.TFRecordWriter(str(directory / REQUESTS)) as writer:
        for name, function in functions.items():
            writer.write(_request(name, _inputs(function, values)))


def _write_items(file, index):
    """A line of JSON for each item: its id, and what there is of label and metadata."""
    columns = {"id": index.ids.tolist()}
    if index.labels is not None:
        columns["label"] = index.labels.tolist()
    if index.metadata is not None:
        columns["metadata"] = map(json.loads, index.metadata)
    if len(columns) == 1:
        return  # The graph has the ids.
    with file.open("w", encoding="ascii") as lines:
        for item in zip(*columns.values(), strict=True):
            line = dict(zip(columns, item, strict=True))
            lines.write(json.dumps(line) + "\n")


def _values(module, calibration, k, examples):
    """An example of each input that a signature may have, by name and dtype."""
    image_bytes = tf.constant(examples)
    images = module.decode(image_bytes)
    rows = len(examples)
    values = {
        ("image_bytes", tf.string): image_bytes,
        ("images", tf.float32): images,
        ("images", tf.uint8): tf.cast(images, tf.uint8),
        ("embeddings", tf.float32): module.embed(images),
        ("k", tf.int32): tf.fill([rows], k),
    }
    if calibration is not None:
        at = next(iter(calibration.cut_points))
        values["cut_point", tf.string] = tf.fill([rows], at)
    return values


def _inputs(function, values):
    specs = tf.nest.flatten(function.structured_input_signature)
    return {
        spec.name: values[spec.name, spec.dtype]
        for spec in specs
        if isinstance(spec, tf.TensorSpec)
    }


def _request(signature_name, inputs):
    """A serialised `PredictionLog` of a `PredictRequest`.

    Source: prediction_log.proto, predict.proto and model.proto in
    https://github.com/tensorflow/serving/tree/master/tensorflow_serving/apis. All of
    their fields that are needed are messages and strings, so their few bytes are put
    together here, in the place of a package that installs another TensorFlow.
    """
    model_spec = _field(3, signature_name.encode())
    request = _field(1, model_spec)
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request += _field(2, _field(1, name.encode()) + _field(2, tensor))
    predict_log = _field(1, request)
    return _field(6, predict_log)


def _field(number, content):
    """A field of bytes in protobuf's wire format: key, length, content."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number):
    groups = []
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])
