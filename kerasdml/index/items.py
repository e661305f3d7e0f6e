"""What an index stores of each item, checked and brought into one form."""

import hashlib
import json
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

# What every index can search by, and every server.
_SIMILARITIES = ("cosine", "dot", "euclidean")


class Names(NamedTuple):
    """What items are called: ids, and labels and metadata if there are any.

    `ids (n,)` and `labels (n,)` are int64 or str, `metadata (n,)` JSON texts.
    """

    ids: np.ndarray
    labels: np.ndarray | None
    metadata: np.ndarray | None

    def at(self, positions):
        """The names at some positions."""
        return Names(*(None if part is None else part[positions] for part in self))

    def joined(self, others):
        """These and then others, of the same kinds."""
        pairs = zip(self, others, strict=True)
        return Names(*(None if a is None else np.concatenate([a, b]) for a, b in pairs))


def checked(embeddings, ids, labels, metadata, similarity):
    """Checks the arguments of `build` and brings them into the form that is stored.

    Returns:
        `(embeddings, names)`: `(n, d)` float32, a copy, of unit length for "cosine",
        and `Names`.

    Raises:
        ValueError: If any of them cannot be stored.
    """
    check_similarity(similarity)
    embeddings = finite_rows(embeddings, "embeddings")
    if 0 in embeddings.shape:
        raise ValueError(
            "`embeddings` must have at least one row and one column. "
            f"Received: shape {embeddings.shape}."
        )
    size = len(embeddings)
    ids = _names(np.arange(size) if ids is None else ids, "ids", size)
    _check_distinct(ids)
    labels = None if labels is None else _names(labels, "labels", size)
    metadata = None if metadata is None else _texts(metadata, size)
    # A caller's array may change; what is stored does not.
    stored = np.array(prepared(embeddings, similarity))
    return stored, Names(ids, labels, metadata)


def prepared(embeddings, similarity):
    """A float32 tensor, its rows of unit length for "cosine"; zeros stay zeros.

    Rows that are not finite raise a `tf.errors.InvalidArgumentError`.
    """
    embeddings = tf.convert_to_tensor(embeddings, tf.float32)
    # Of the lengths alone, as TensorFlow checks number by number, and slowly.
    lengths = tf.debugging.check_numerics(
        tf.norm(embeddings, axis=1, keepdims=True),
        "Embeddings must be finite, and their lengths too.",
    )
    if similarity == "cosine":
        return tf.math.divide_no_nan(embeddings, lengths)
    with tf.control_dependencies([lengths]):
        return tf.identity(embeddings)


def finite_rows(values, name):
    """`values` as `(rows, size)` float32; raises a `ValueError` if they are not."""
    array = np.asarray(values)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise ValueError(
            f"`{name}` must be numbers of the shape (rows, embedding size). "
            f"Received: shape {array.shape}, dtype {array.dtype}."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        array = np.ascontiguousarray(array, "float32")
        squares = np.einsum("rd,rd->r", array, array)
    bad = np.flatnonzero(~np.isfinite(squares))
    if bad.size:
        raise ValueError(
            f"`{name}` must be finite float32 numbers, and their squared lengths too. "
            f"Received: NaN, infinity or lengths beyond 1.8e19 in {bad.size} of "
            f"{len(array)} rows, first in row {bad[0]}."
        )
    return array


def fingerprint(embedder: Any) -> str:
    """What tells one trained embedder from another: the SHA-256 of its weights.

    Args:
        embedder: A Keras model; of a `MetricModel` its embedder counts. Or a
            fingerprint, which is returned.

    Returns:
        64 hexadecimal digits, the same after saving and loading the model.

    Example:

    >>> kerasdml.index.fingerprint(embedder) == index.fingerprint
    """
    if isinstance(embedder, str):
        return embedder
    embedder = getattr(embedder, "embedder", embedder)
    digest = hashlib.sha256()
    for weight in embedder.get_weights():
        digest.update(f"{weight.shape} {weight.dtype} ".encode())
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def check_similarity(similarity):
    if similarity not in _SIMILARITIES:
        raise ValueError(
            "An index compares by 'cosine', 'dot' or 'euclidean'. "
            f"Received: similarity={similarity!r}. ('squared_euclidean' ranks as "
            "'euclidean' does.)"
        )


def _names(values, name, size):
    """`values` as `(size,)` int64 or str."""
    array = np.asarray(values)
    if array.shape != (size,):
        raise ValueError(
            f"`{name}` must have one entry for each of the {size} embeddings. "
            f"Received: shape {array.shape}."
        )
    if array.dtype.kind in "iu" and np.can_cast(array.dtype, "int64"):
        return array.astype("int64")
    texts = array.dtype == object and all(isinstance(value, str) for value in array)
    if texts or array.dtype.kind == "U":
        _check_texts(values, name)
        return array.astype(str)
    raise ValueError(
        f"`{name}` must be integers (at most 64 bits, signed) or strings. "
        f"Received: dtype {array.dtype}."
    )


def _check_texts(values, name):
    """Refuses what NumPy would cut off, and what has no UTF-8."""
    try:
        joined = "\n".join(values)
        joined.encode()
    except TypeError as error:
        raise ValueError(
            f"`{name}` must be all integers or all strings. Received: {error}."
        ) from error
    except UnicodeEncodeError as error:
        raise ValueError(
            f"`{name}` must be text that UTF-8 can hold. Received: {error}."
        ) from error
    if "\0" in joined:
        raise ValueError(f"`{name}` must be text without NUL characters.")


def _texts(metadata, size):
    """Values that JSON can hold, as `(size,)` JSON texts."""
    if len(metadata) != size:
        raise ValueError(
            f"`metadata` must have one entry for each of the {size} embeddings. "
            f"Received: {len(metadata)}."
        )
    texts = np.empty(size, object)
    for row, value in enumerate(metadata):
        try:
            texts[row] = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"`metadata` must be what JSON can hold. Received: in row {row}, "
                f"{value!r} ({error})."
            ) from error
    return texts


def _check_distinct(ids):
    values, counts = np.unique(ids, return_counts=True)
    repeated = values[counts > 1]
    if repeated.size:
        raise ValueError(
            "`ids` must be distinct, so that a neighbour can be told by its id. "
            f"Received: {repeated.size} of them more than once, such as "
            f"{repeated[0].item()!r}. Pass what several items share as `labels`."
        )
