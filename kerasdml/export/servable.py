"""From an embedder, and an index, to a SavedModel that TensorFlow Serving loads."""

import contextlib
import errno
import os
import pathlib
from collections.abc import Sequence

import keras
import tensorflow as tf

from kerasdml.export import checks
from kerasdml.export.extras import read_examples, write_extras
from kerasdml.export.graph import servable
from kerasdml.export.signatures import signatures
from kerasdml.index import Index
from kerasdml.index.files import new_directory
from kerasdml.metrics import Calibration


def saved_model(
    embedder: keras.Model,
    path: str | os.PathLike,
    index: Index | None = None,
    version: int = 1,
    k: int = 10,
    calibration: Calibration | None = None,
    examples: Sequence[str | os.PathLike | bytes] | None = None,
    return_metadata: bool = False,
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

    Each signature that searches has a second, `search_k` and so on, with one more
    input: `k (b,)` int32, how many neighbours each query is to get, 1 … the `k` of the
    export. Outputs have as many columns as the largest of the batch; beyond a query's
    own, scores are -inf, ids and labels -1 or "", and `matches` False. Queries with
    other `k` may share a batch, as one server's clients do. The methods take `k` as
    their last, optional argument.

    `match` and `match_embeddings` exist with a calibration. `matches`, `(b, k)`
    booleans, says which neighbours are similar enough at `cut_point`, a name in
    `Calibration.cut_points`: "best_f1", "best_accuracy", "equal_error", or a
    false-match rate as "0.001". They decide as `Calibration.match` does. The whole
    calibration lies in `assets.extra/calibration.json`.

    More files lie in `assets.extra/`. `tf_serving_warmup_requests` holds a request to
    each signature, made of `examples`; a server sends them to itself before it lets a
    version answer. `items.jsonl`, if the index has labels or metadata, has a line of
    JSON for each of its items: `id`, `label`, `metadata`. By `sha256.json` the local
    server tells a damaged version.

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
        examples: JPEG or PNG files, paths or bytes, as the server will get them, and
            as many as in its usual request; None for one grey image.
        return_metadata: Whether each signature that searches has one more output,
            `metadata (b, k)`: the JSON texts of the neighbours. Without it metadata
            lies in `items.jsonl` alone, and answers are shorter.

    Returns:
        The `pathlib.Path` of the version, `<path>/<version>`.

    Raises:
        FileExistsError: If that version exists. Nothing is overwritten.
        OSError: If the disk is full, or cannot be written to. Nothing is left on it.
        RuntimeError: If the backend of Keras is not TensorFlow.
        ValueError: If `version` is not a positive integer, if the embedder does not
            map images of a fixed size to `(b, d)`, if `index`, `k`, `calibration` or
            `examples` do not fit, if there is no metadata to return, or if another
            embedder is known to have made the index.

    Example:

    >>> index = kerasdml.index.Exact.build(embedder.predict(gallery), ids)
    >>> kerasdml.export.saved_model(embedder, "saved_models/cub200", index=index)
    """
    checks.check_backend("saved_model")
    checks.check_version(version)
    embedder = getattr(embedder, "embedder", embedder)
    checks.check_embedder(embedder)
    if index is not None:
        checks.check_index(index, embedder, k)
    if calibration is not None:
        checks.check_calibration(calibration, index)
    if return_metadata:
        checks.check_metadata(index)
    target = pathlib.Path(path) / str(version)
    checks.check_free(target)
    examples = read_examples(examples, embedder.inputs[0].shape[1:])
    module = servable(embedder, index, k, calibration, return_metadata)
    options = tf.saved_model.SaveOptions(
        namespace_whitelist=[] if index is None else list(index.op_namespaces)
    )
    with new_directory(target) as draft, _full_disk_as_python_has_it(target):
        functions = signatures(module, embedder, index, calibration)
        tf.saved_model.save(module, str(draft), functions, options)
        write_extras(draft, module, functions, index, calibration, k, examples)
    return target


@contextlib.contextmanager
def _full_disk_as_python_has_it(path):
    """Raises an `OSError` for TensorFlow's own error, which nobody expects."""
    full = os.strerror(errno.ENOSPC)
    try:
        yield
    except tf.errors.OpError as error:
        if full not in error.message:
            raise
        raise OSError(errno.ENOSPC, full, str(path)) from error
