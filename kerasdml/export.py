"""From an embedder, and an index, to a SavedModel that TensorFlow Serving loads."""

import os
import pathlib

import keras
import tensorflow as tf

from kerasdml.index import Index
from kerasdml.index.files import new_directory


def saved_model(
    embedder: keras.Model,
    path: str | os.PathLike,
    index: Index | None = None,
    version: int = 1,
    k: int = 10,
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

    `search` and `search_embeddings` exist with an index; scores are float32 and
    descending, ids and labels int64 or string, all `(b, k)`. `serving_default` is
    `search` with an index, else `embed_encoded`. What `tf.saved_model.load` returns
    has methods of the same names; its `embed` takes float32 and uint8 images.

    Loading needs TensorFlow alone, and for a `Scann` index `import scann` before it.

    Args:
        embedder: Keras model from images `(b, h, w, c)` in 0 … 255 to `(b, d)`; of a
            `MetricModel` its embedder is exported, without proxies.
        path: The model's directory; the version becomes a directory inside it, which
            appears whole, as a server that polls expects.
        index: Index of embeddings from this embedder, or None.
        version: Number of the version, > 0. Servers serve the highest.
        k: Neighbours that each search returns, 1 … `index.size`.

    Returns:
        The `pathlib.Path` of the version, `<path>/<version>`.

    Raises:
        FileExistsError: If that version exists. Nothing is overwritten.
        RuntimeError: If the backend of Keras is not TensorFlow.
        ValueError: If `version` is not a positive integer, if the embedder does not
            map images of a fixed size to `(b, d)`, or if `index` or `k` do not fit.

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
    target = pathlib.Path(path) / str(version)
    _check_free(target)
    servable = _servable(embedder, index, k)
    options = tf.saved_model.SaveOptions(
        namespace_whitelist=[] if index is None else list(index.op_namespaces)
    )
    with new_directory(target) as draft:
        signatures = _signatures(servable, embedder, index)
        tf.saved_model.save(servable, str(draft), signatures, options)
    return target


def _servable(embedder, index, k):
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


def _table(names):
    # Strings live in main memory, also where there is a GPU.
    with tf.device("CPU:0"):
        return tf.Variable(names, trainable=False)


def _signatures(servable, embedder, index):
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
    return {
        **signatures,
        "search": search,
        "search_embeddings": servable.search_embeddings.get_concrete_function(
            embeddings
        ),
        "serving_default": search,
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


def _check_free(target):
    if not target.exists():
        return
    versions = [int(p.name) for p in target.parent.iterdir() if p.name.isdecimal()]
    free = max(versions) + 1
    raise FileExistsError(
        f"{str(target)!r} exists already, and nothing is overwritten. "
        f"The next free version is {free}: pass `version={free}`."
    )
