"""Batches as sources get them."""

import numpy as np
from keras import ops

from kerasdml.references import References


def batch(embeddings, labels):
    rows = np.arange(len(labels), dtype="int32")
    columns = np.asarray(embeddings, "float32"), np.asarray(labels), rows
    return References(*map(ops.convert_to_tensor, columns))


def called(source, embeddings, labels, training=True):
    """What a source adds, as NumPy; it is built before, if it was not."""
    embeddings = np.asarray(embeddings, "float32")
    if not source.built:
        source.build(embeddings.shape[1])
    found = source(batch(embeddings, labels), training=training)
    return type(found)(*map(ops.convert_to_numpy, found))


def state(layer):
    return [ops.convert_to_numpy(v) for v in layer.variables]


def units(count, dim, seed=0):
    x = np.random.default_rng(seed).normal(size=(count, dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype("float32")
