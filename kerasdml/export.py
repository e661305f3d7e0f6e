"""From an embedder, and an index, to a SavedModel that TensorFlow Serving loads."""

import os
import pathlib

import keras
import numpy as np
import tensorflow as tf

from kerasdml.index import Index
from kerasdml.index.files import new_directory
from kerasdml.metrics import Calibration

# Where the calibration is in a version, for readers that have no TensorFlow; a
# SavedModel leaves "assets.extra" to files that its graph does not read.
CALIBRATION = "assets.extra/calibration.json"


def saved_model(
    embedder: keras.Model,
    path: str | os.PathLike,
    index: Index | None = None,
    version: int = 1,
    k: int = 10,
    calibration: Calibration | None = None,
) -> pathlib.Path:
    """Writes a servable SavedModel: images, files or embeddings in, neighbours out.

    Everything a server needs is inside: preprocessing, weights, index, ids and labels.
    The batch size is free. The signatures:

    | name | input | output |
    |---|---|---|
    | `embed` | `images (b, h, w, c)` float32 in 0 … 255 | `embeddings (b, d)` |
    | `embed_uint8` | `images (b, h, w, c)` uint8 | `embeddings (b, d)` |
    | `embed_encoded` | `image_bytes (b,)` JPEG or PNG files of any size | the same |
    | `search` | `image_bytes (b,)` | `scores`, `ids`, and `labels` if there are any |
    | `search_embeddings` | `embeddings (b, d)` float32 | the same |
    | `match` | `image_bytes (b,)`, `cut_point (b,)` string | the same, and `matches` |
    | `match_embeddings` | `embeddings (b, d)`, `cut_point (b,)` | the same |

    `search` and `search_embeddings` exist with an index; scores are float32 and
    descending, ids and labels int64 or string, all `(b, k)`. `serving_default` is
    `search` with an index, else `embed_encoded`. What `tf.saved_model.load` returns
    has methods of the same names; its `embed` takes float32 and uint8 images.

    `match` and `match_embeddings` exist with a calibration. `matches`, `(b, k)`
    booleans, says which neighbours are similar enough at `cut_point`, a name in
    `Calibration.cut_points`: "best_f1", "best_accuracy", "equal_error", or a
    false-match rate as "0.001". They decide as `Calibration.match` does. The whole
    calibration lies in `assets.extra/calibration.json`.

    Loading needs TensorFlow alone, and for a `Scann` index `import scann` before it.

    Args:
        embedder: Keras model from images `(b, h, w, c)` in 0 … 255 to `(b, d)`; of a
            `MetricModel` its embedder is exported, without proxies.
        path: The model's directory; the version becomes a directory inside it, which
            appears whole, as a server that polls expects.
        index: Index of embeddings from this embedder, or None.
        version: Number of the version, > 0. Servers serve the highest.
        k: Neighbours that each search returns, 1 … `index.size`.
        calibration: What `metrics.calibrate` found for embeddings of this embedder by
            the similarity of the index, or None.

    Returns:
        The `pathlib.Path` of the version, `<path>/<version>`.

    Raises:
        FileExistsError: If that version exists. Nothing is overwritten.
        RuntimeError: If the backend of Keras is not TensorFlow.
        ValueError: If `version` is not a positive integer, if the embedder does not
            map images of a fixed size to `(b, d)`, or if `index`, `k` or `calibration`
            do not fit.

    Example:

    >>> index = kerasdml.index.Exact.build(embedder.predict(gallery), ids)
    >>> kerasdml.export.saved_model(embedder, "saved_models/cub200", index=index)
    """
    _check_backend()
    _check_version(version)
    embedder = getattr(embedder, "embedder", embedder)
    _check_embedder(embedder)
    if index is not None:
        _check_index(index, embedder, k)
    if calibration is not None:
        _check_calibration(calibration, index)
    target = pathlib.Path(path) / str(version)
    _check_free(target)
    servable = _servable(embedder, index, k, calibration)
    options = tf.saved_model.SaveOptions(
        namespace_whitelist=[] if index is None else list(index.op_namespaces)
    )
    with new_directory(target) as draft:
        signatures = _signatures(servable, embedder, index, calibration)
        tf.saved_model.save(servable, str(draft), signatures, options)
        if calibration is not None:
            file = draft / CALIBRATION
            file.parent.mkdir()
            file.write_text(calibration.to_json() + "\n", encoding="utf-8")
    return target


def _servable(embedder, index, k, calibration):
    """The module that is saved; its functions are what a loaded model can do."""
    images = embedder.inputs[0]
    servable = tf.Module()
    # The variables alone: a tracked Keras model would bring its layers along.
    servable.weights = [variable.value for variable in embedder.variables]
    servable.embed = _embed(embedder, images.dtype)
    servable.embed_encoded = _embed_encoded(servable.embed, images.shape[1:])
    if index is not None:
        servable.index = index
        servable.ids = _table(index.ids)
        servable.labels = None if index.labels is None else _table(index.labels)
        servable.search_embeddings = _search_embeddings(servable, k)
        servable.search = _search(servable)
    if calibration is not None:
        cut_points = calibration.cut_points
        servable.cut_points = _table(list(cut_points))
        servable.thresholds = tf.Variable(
            [_least_float32(point.threshold) for point in cut_points.values()],
            trainable=False,
        )
        servable.match_embeddings = _match_embeddings(servable)
        servable.match = _match(servable)
    return servable


def _embed(embedder, dtype):
    @tf.function
    def embed(images):
        embeddings = embedder(tf.cast(images, dtype), training=False)
        return tf.cast(embeddings, tf.float32)

    return embed


def _embed_encoded(embed, image_shape):
    *size, channels = image_shape

    def decoded(image_bytes):
        image = tf.io.decode_image(
            image_bytes, channels=channels, expand_animations=False
        )
        return tf.image.resize(image, size, antialias=True)

    @tf.function
    def embed_encoded(image_bytes):
        one = tf.TensorSpec(image_shape, tf.float32)
        return embed(tf.map_fn(decoded, image_bytes, fn_output_signature=one))

    return embed_encoded


def _search_embeddings(servable, k):
    @tf.function
    def search_embeddings(embeddings):
        scores, positions = servable.index.search_tensors(embeddings, k)
        found = {"scores": scores, "ids": tf.gather(servable.ids, positions)}
        if servable.labels is not None:
            found["labels"] = tf.gather(servable.labels, positions)
        return found

    return search_embeddings


def _search(servable):
    @tf.function
    def search(image_bytes):
        return servable.search_embeddings(servable.embed_encoded(image_bytes))

    return search


def _match_embeddings(servable):
    @tf.function
    def match_embeddings(embeddings, cut_point):
        found = servable.search_embeddings(embeddings)
        thresholds = _thresholds(servable, cut_point)
        return {**found, "matches": found["scores"] >= thresholds[:, tf.newaxis]}

    return match_embeddings


def _match(servable):
    @tf.function
    def match(image_bytes, cut_point):
        return servable.match_embeddings(servable.embed_encoded(image_bytes), cut_point)

    return match


def _thresholds(servable, cut_point):
    """The threshold of each cut-point `(b,)`, which is named by one of the table."""
    names = tf.convert_to_tensor(servable.cut_points)
    named = cut_point[:, tf.newaxis] == names
    known = tf.reduce_any(named, axis=1)
    join = tf.strings.reduce_join
    message = tf.strings.join(
        [
            "`cut_point` must be one of ",
            join(names, separator=", "),
            ". Received: ",
            join(cut_point[~known][:1]),
            ".",
        ]
    )
    with tf.control_dependencies(
        [tf.debugging.Assert(tf.reduce_all(known), [message])]
    ):
        at = tf.argmax(tf.cast(named, tf.int32), axis=1)
    return tf.gather(servable.thresholds, at)


def _least_float32(threshold):
    """The least float32 of at least `threshold`: it decides float32 scores alike."""
    rounded = np.float32(threshold)
    if float(rounded) < threshold:
        return np.nextafter(rounded, np.float32(np.inf))
    return rounded


def _table(names):
    # Strings live in main memory, also where there is a GPU.
    with tf.device("CPU:0"):
        return tf.Variable(names, trainable=False)


def _signatures(servable, embedder, index, calibration):
    """The functions as TensorFlow Serving calls them: named tensors in and out."""
    shape = embedder.inputs[0].shape[1:]
    images = tf.TensorSpec((None, *shape), tf.float32, "images")
    pixels = tf.TensorSpec((None, *shape), tf.uint8, "images")
    image_bytes = tf.TensorSpec((None,), tf.string, "image_bytes")
    signatures = {
        "embed": _named(servable.embed, images),
        "embed_uint8": _named(servable.embed, pixels),
        "embed_encoded": _named(servable.embed_encoded, image_bytes),
    }
    if index is None:
        return {**signatures, "serving_default": signatures["embed_encoded"]}
    embeddings = tf.TensorSpec((None, index.dim), tf.float32, "embeddings")
    search = servable.search.get_concrete_function(image_bytes)
    signatures |= {
        "search": search,
        "search_embeddings": servable.search_embeddings.get_concrete_function(
            embeddings
        ),
        "serving_default": search,
    }
    if calibration is None:
        return signatures
    cut_point = tf.TensorSpec((None,), tf.string, "cut_point")
    return {
        **signatures,
        "match": servable.match.get_concrete_function(image_bytes, cut_point),
        "match_embeddings": servable.match_embeddings.get_concrete_function(
            embeddings, cut_point
        ),
    }


def _named(embed, spec):
    @tf.function
    def named(inputs):
        return {"embeddings": embed(inputs)}

    return named.get_concrete_function(spec)


def _check_backend():
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "`export.saved_model` needs the TensorFlow backend of Keras. "
            f"Received: backend {keras.backend.backend()!r}. Save the embedder with "
            "`embedder.save('embedder.keras')`, and load and export it in a process "
            "with KERAS_BACKEND=tensorflow."
        )


def _check_version(version):
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ValueError(
            f"`version` must be a positive integer. Received: version={version!r}."
        )


def _check_embedder(embedder):
    inputs = getattr(embedder, "inputs", None) or []
    outputs = getattr(embedder, "outputs", None) or []
    shapes = [tuple(tensor.shape) for tensor in (*inputs, *outputs)]
    if len(inputs) == len(outputs) == 1:
        image, output = shapes
        known = None not in (*image[1:], *output[1:])
        if known and len(image) == 4 and image[3] in (1, 3, 4) and len(output) == 2:
            return
    raise ValueError(
        "`embedder` must be a functional or Sequential Keras model from images "
        "(b, h, w, c), of a fixed size and with 1, 3 or 4 channels, to embeddings "
        f"(b, d). Received: {type(embedder).__name__} with the input and output shapes "
        f"{shapes}."
    )


def _check_index(index, embedder, k):
    dim = embedder.outputs[0].shape[1]
    if index.dim != dim:
        raise ValueError(
            f"`index` holds embeddings of size {index.dim}, but the embedder gives "
            f"{dim}. Build the index from this embedder's own output."
        )
    if not 1 <= k <= index.size:
        raise ValueError(
            f"`k` must be from 1 to {index.size}, the size of the index. "
            f"Received: k={k}."
        )


def _check_calibration(calibration, index):
    if not isinstance(calibration, Calibration):
        raise ValueError(
            "`calibration` must be what `metrics.calibrate` or `Calibration.from_json` "
            f"returned. Received: {type(calibration).__name__}."
        )
    if index is None:
        raise ValueError(
            "`calibration` says which neighbours match, so it needs an `index` to find "
            "them in. Received: index=None."
        )
    if calibration.similarity is None:
        raise ValueError(
            "`calibration` must say what similarity it is of, but it was made from "
            f"scores. If they were {index.similarity!r}, as the index's are, say so: "
            f"dataclasses.replace(calibration, similarity={index.similarity!r})."
        )
    if calibration.similarity != index.similarity:
        raise ValueError(
            "`calibration` must be of the similarity of the index, "
            f"{index.similarity!r}. Received: one of {calibration.similarity!r}. "
            f"Calibrate with `similarity={index.similarity!r}`."
        )


def _check_free(target):
    if not target.exists():
        return
    versions = [int(p.name) for p in target.parent.iterdir() if p.name.isdecimal()]
    free = max(versions) + 1
    raise FileExistsError(
        f"{str(target)!r} exists already, and nothing is overwritten. "
        f"The next free version is {free}: pass `version={free}`."
    )
