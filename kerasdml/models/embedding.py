"""A data set as embeddings and labels, in NumPy."""

import itertools
import math

import keras
import numpy as np

# What `tf.data.Dataset.cardinality` answers instead of a number; the names are in
# TensorFlow, which must not be imported here.
_INFINITE, _UNKNOWN = -1, -2


def embed(model, data, batch_size=32, steps=None, verbose=0):
    """Embeds a data set in one pass and returns it with its labels, in order.

    Each batch goes through `model.predict_on_batch`. Labels never pass through a
    tensor, so strings and ids of any size come back as they were.

    Args:
        model: Keras model with one output `(b, d)`.
        data: `(images, labels)` arrays, or batches `(images, labels)` as a
            `tf.data.Dataset`, a `keras.utils.PyDataset`, or any iterable. Labels
            may be a dict with the key `"label"`; sample weights are ignored.
        batch_size: Images per batch when `data` are arrays, > 0.
        steps: Largest number of batches to take, > 0. Required when `data` has no
            end, and for generators, which cannot say whether they have one.
        verbose: 0 is silent, 1 shows a progress bar.

    Returns:
        `(embeddings, labels)`: `(n, d)` float32 and `(n, ...)` arrays.

    Raises:
        ValueError: If `data` is endless and `steps` is missing, is empty, or has no
            labels, or if the model's output is not `(b, d)`.

    Example:

    >>> embeddings, labels = embed(embedder, (images, labels), batch_size=256)
    """
    _check_positive(batch_size=batch_size, steps=steps)
    batches, count = batches_of(data, batch_size)
    if steps is None and count == math.inf:
        raise ValueError(
            "`data` has no known end. Pass `steps`, the number of batches to embed. "
            f"Received: data={type(data).__name__}, steps=None."
        )
    if steps is not None:
        count = steps if count is None else min(steps, count)
    bar = keras.utils.Progbar(count, verbose=verbose)
    embeddings, labels = [], []
    for batch in itertools.islice(batches, steps):
        rows, names = _embed_batch(model, batch)
        embeddings.append(rows)
        labels.append(names)
        bar.update(len(labels), finalize=False)
    if not labels:
        raise ValueError("`data` must have at least one batch. Received none.")
    bar.update(len(labels), finalize=True)
    return np.concatenate(embeddings), np.concatenate(labels)


def label_of(y):
    """Returns the labels in `y`, an array or a dict of fields, as NumPy.

    Raises:
        ValueError: If there are none.
    """
    if isinstance(y, dict):
        if "label" not in y:
            raise ValueError(
                "A dict of targets must have the key 'label'. "
                f"Received the keys: {sorted(y)}."
            )
        y = y["label"]
    if y is None:
        raise ValueError(
            "`data` must give labels: `(images, labels)` arrays or batches. "
            "Received images only."
        )
    return np.asarray(y)


def _embed_batch(model, batch):
    x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
    labels = label_of(y)
    # Mixed precision gives 16 bits, which the ranking of neighbours would feel.
    output = model.predict_on_batch(keras.tree.map_structure(np.asarray, x))
    if np.ndim(labels) == 0 or not _are_rows(output, len(labels)):
        raise ValueError(
            "The model must give one embedding `(d,)` for every label. Received: "
            f"outputs of shape {keras.tree.map_structure(np.shape, output)} for "
            f"labels of shape {labels.shape}."
        )
    return np.asarray(output, "float32"), labels


def _are_rows(output, count):
    return isinstance(output, np.ndarray) and output.shape == (count, output.shape[-1])


def batches_of(data, batch_size):
    """Returns an iterator over the batches of `data` and their number.

    The number is None where only the end will tell, and infinite for data that has
    no end or cannot say.
    """
    if isinstance(data, tuple):
        return _slices(data, batch_size)
    if isinstance(data, keras.utils.PyDataset):
        count = math.inf if data.num_batches is None else data.num_batches
        indices = itertools.count() if count == math.inf else range(count)
        return (data[i] for i in indices), count
    if hasattr(data, "shape") or not hasattr(data, "__iter__"):
        raise ValueError(
            "`data` must be a tuple `(images, labels)`, or iterate over such batches. "
            f"Received: {type(data).__name__}."
        )
    if hasattr(data, "cardinality"):
        count = int(data.cardinality())
        return iter(data), {_INFINITE: math.inf, _UNKNOWN: None}.get(count, count)
    if hasattr(data, "__next__"):
        return data, math.inf
    return iter(data), len(data) if hasattr(data, "__len__") else None


def _slices(data, batch_size):
    x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
    labels = label_of(y)
    lengths = {len(array) for array in keras.tree.flatten(x)} | {len(labels)}
    if len(lengths) > 1:
        raise ValueError(
            "`data` must have as many labels as images. "
            f"Received arrays of {sorted(lengths)} rows."
        )
    starts = range(0, len(labels), batch_size)

    def rows(start):
        stop = start + batch_size
        images = keras.tree.map_structure(lambda array: array[start:stop], x)
        return images, labels[start:stop]

    return map(rows, starts), len(starts)


def _check_positive(**values):
    for name, value in values.items():
        if value is not None and value < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {value}.")
