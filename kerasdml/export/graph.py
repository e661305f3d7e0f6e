"""What a served model can do, as TensorFlow functions."""

import numpy as np
import tensorflow as tf


def servable(embedder, index, k, calibration, return_metadata):
    """The module that is saved; its functions are what a loaded model can do.

    Args:
        embedder: Functional or Sequential Keras model of images.
        index: Index of its embeddings, or None.
        k: Neighbours of a search that is not told how many.
        calibration: `Calibration` of the index's similarity, or None.
        return_metadata: Whether searches give the metadata of neighbours too.
    """
    images = embedder.inputs[0]
    module = tf.Module()
    # The variables alone: a tracked Keras model would bring its layers along.
    module.weights = [variable.value for variable in embedder.variables]
    module.embed = _embed(embedder, images.dtype)
    module.decode = _decode(images.shape[1:])
    module.embed_encoded = _embed_encoded(module)
    if index is not None:
        module.index = index
        module.ids = _table(index.ids)
        module.labels = None if index.labels is None else _table(index.labels)
        module.metadata = _table(index.metadata) if return_metadata else None
        module.search_embeddings = _search_embeddings(module, k)
        module.search = _search(module)
    if calibration is not None:
        cut_points = calibration.cut_points
        module.cut_points = _table(list(cut_points))
        module.thresholds = tf.Variable(
            [_least_float32(point.threshold) for point in cut_points.values()],
            trainable=False,
        )
        module.match_embeddings = _match_embeddings(module)
        module.match = _match(module)
    return module


def _embed(embedder, dtype):
    @tf.function
    def embed(images):
        embeddings = embedder(tf.cast(images, dtype), training=False)
        return tf.cast(embeddings, tf.float32)

    return embed


def _decode(image_shape):
    *size, channels = image_shape

    def decoded(image_bytes):
        image = tf.io.decode_image(
            image_bytes, channels=channels, expand_animations=False
        )
        return tf.image.resize(image, size, antialias=True)

    @tf.function
    def decode(image_bytes):
        one = tf.TensorSpec(image_shape, tf.float32)
        return tf.map_fn(decoded, image_bytes, fn_output_signature=one)

    return decode


def _embed_encoded(module):
    @tf.function
    def embed_encoded(image_bytes):
        return module.embed(module.decode(image_bytes))

    return embed_encoded


def _search_embeddings(module, most):
    @tf.function
    def search_embeddings(embeddings, k=None):
        scores, positions = module.index.search_tensors(embeddings, most)
        found = {"scores": scores, "ids": tf.gather(module.ids, positions)}
        if module.labels is not None:
            found["labels"] = tf.gather(module.labels, positions)
        if module.metadata is not None:
            found["metadata"] = tf.gather(module.metadata, positions)
        return found if k is None else _first(found, k, most)

    return search_embeddings


def _search(module):
    @tf.function
    def search(image_bytes, k=None):
        return module.search_embeddings(module.embed_encoded(image_bytes), k)

    return search


def _match_embeddings(module):
    @tf.function
    def match_embeddings(embeddings, cut_point, k=None):
        found = module.search_embeddings(embeddings, k)
        thresholds = _thresholds(module, cut_point)
        return {**found, "matches": found["scores"] >= thresholds[:, tf.newaxis]}

    return match_embeddings


def _match(module):
    @tf.function
    def match(image_bytes, cut_point, k=None):
        embeddings = module.embed_encoded(image_bytes)
        return module.match_embeddings(embeddings, cut_point, k)

    return match


# What stands for no neighbour, by the dtype of scores, and of ids and labels.
_NONE = {tf.float32: -np.inf, tf.int64: -1, tf.string: ""}


def _first(found, k, most):
    """The first `k (b,)` neighbours of each query, the others replaced by none.

    There are as many columns as the query that wants most has neighbours.
    """
    wrong = tf.boolean_mask(k, (k < 1) | (k > most))
    message = tf.strings.join(
        [
            f"`k` must be from 1 to {most}, the number of neighbours that the model "
            "was exported with. Received: ",
            tf.strings.reduce_join(tf.strings.as_string(wrong[:1])),
            ".",
        ]
    )
    with tf.control_dependencies([tf.debugging.Assert(tf.size(wrong) == 0, [message])]):
        columns = tf.range(tf.reduce_max(k))
    k = tf.broadcast_to(k, tf.shape(found["scores"])[:1])
    wanted = columns < k[:, tf.newaxis]
    return {
        name: tf.where(
            wanted,
            values[:, : tf.size(columns)],
            tf.constant(_NONE[values.dtype], values.dtype),
        )
        for name, values in found.items()
    }


def _thresholds(module, cut_point):
    """The threshold of each cut-point `(b,)`, which is named by one of the table."""
    names = tf.convert_to_tensor(module.cut_points)
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
    return tf.gather(module.thresholds, at)


def _least_float32(threshold):
    """The least finite float32 of at least `threshold`.

    It decides float32 scores as the threshold does, and no neighbour, -inf, never
    matches.
    """
    rounded = np.float32(max(threshold, np.finfo(np.float32).min))
    if float(rounded) < threshold:
        return np.nextafter(rounded, np.float32(np.inf))
    return rounded


def _table(names):
    # Strings live in main memory, also where there is a GPU.
    with tf.device("CPU:0"):
        return tf.Variable(names, trainable=False)
