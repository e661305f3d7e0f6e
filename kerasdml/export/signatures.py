"""The functions of a servable as TensorFlow Serving calls them."""

import tensorflow as tf


def signatures(module, embedder, index, calibration):
    """Concrete functions by name of signature: named tensors in and out.

    Where a caller may say how many neighbours to find, there is a second signature,
    ending in `_k`. One with a default would not do: a default has a fixed number of
    rows, and servers batch only inputs of equally many.
    """
    shape = embedder.inputs[0].shape[1:]
    images = tf.TensorSpec((None, *shape), tf.float32, "images")
    pixels = tf.TensorSpec((None, *shape), tf.uint8, "images")
    image_bytes = tf.TensorSpec((None,), tf.string, "image_bytes")
    found = {
        "embed": _named(module.embed, images),
        "embed_uint8": _named(module.embed, pixels),
        "embed_encoded": _named(module.embed_encoded, image_bytes),
    }
    if index is None:
        return {**found, "serving_default": found["embed_encoded"]}
    embeddings = tf.TensorSpec((None, index.dim), tf.float32, "embeddings")
    found |= _with_and_without_k(module, "search", image_bytes)
    found |= _with_and_without_k(module, "search_embeddings", embeddings)
    found["serving_default"] = found["search"]
    if calibration is not None:
        cut_point = tf.TensorSpec((None,), tf.string, "cut_point")
        found |= _with_and_without_k(module, "match", image_bytes, cut_point)
        found |= _with_and_without_k(module, "match_embeddings", embeddings, cut_point)
    return found


def _with_and_without_k(module, name, *specs):
    function = getattr(module, name)
    k = tf.TensorSpec((None,), tf.int32, "k")
    return {
        name: function.get_concrete_function(*specs),
        f"{name}_k": function.get_concrete_function(*specs, k),
    }


def _named(embed, spec):
    @tf.function
    def named(inputs):
        return {"embeddings": embed(inputs)}

    return named.get_concrete_function(spec)
