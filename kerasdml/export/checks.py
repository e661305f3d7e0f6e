"""What cannot be exported, said before anything is written."""

import keras

from kerasdml.metrics import Calibration


def check_backend(name):
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"`export.{name}` needs the TensorFlow backend of Keras. "
            f"Received: backend {keras.backend.backend()!r}. Save the embedder with "
            "`embedder.save('embedder.keras')`, and load and export it in a process "
            "with KERAS_BACKEND=tensorflow."
        )


def check_version(version):
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ValueError(
            f"`version` must be a positive integer. Received: version={version!r}."
        )


def check_embedder(embedder):
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


def check_index(index, embedder, k):
    dim = embedder.outputs[0].shape[1]
    if index.dim != dim:
        raise ValueError(
            f"`index` holds embeddings of size {index.dim}, but the embedder gives "
            f"{dim}. Build the index from this embedder's own output."
        )
    index.check_embedder(embedder)
    if not 1 <= k <= index.size:
        raise ValueError(
            f"`k` must be from 1 to {index.size}, the size of the index. "
            f"Received: k={k}."
        )


def check_metadata(index):
    if index is None or index.metadata is None:
        kind = "none" if index is None else "one without"
        raise ValueError(
            "`return_metadata` needs an `index` that was built with `metadata`. "
            f"Received: {kind}."
        )


def check_calibration(calibration, index):
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


def check_free(target):
    if not target.exists():
        return
    versions = [int(p.name) for p in target.parent.iterdir() if p.name.isdecimal()]
    free = max(versions) + 1
    raise FileExistsError(
        f"{str(target)!r} exists already, and nothing is overwritten. "
        f"The next free version is {free}: pass `version={free}`."
    )
