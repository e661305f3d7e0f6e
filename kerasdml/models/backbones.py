"""Backbones by name: feature extractors with their preprocessing and their weights."""

import difflib
import pathlib

import keras
import numpy as np

from kerasdml.layers import ImageNetPreprocessing

# How `keras.applications` wants its images, by module; the modules that are not named
# here have the preprocessing inside the model.
_MODES = {
    "densenet": "torch",
    "inception_resnet_v2": "tf",
    "inception_v3": "tf",
    "mobilenet": "tf",
    "mobilenet_v2": "tf",
    "nasnet": "tf",
    "resnet": "caffe",
    "resnet_v2": "tf",
    "vgg16": "caffe",
    "vgg19": "caffe",
    "xception": "tf",
}


def backbone_names():
    """Returns the names that `Embedder` knows, in lower case."""
    return ["conv4", *sorted(_applications())]


def build_backbone(name, input_shape, weights=None):
    """Builds a backbone by name.

    Args:
        name: One of `backbone_names()`; case and underscores do not matter.
        input_shape: `(height, width, channels)`.
        weights: `None`, "imagenet" or a path, as `Embedder` has it.

    Returns:
        `preprocessing, backbone`: a layer from images of 0 … 255 to the backbone's
        range, or `None`, and a `keras.Model` to feature maps `(b, h, w, channels)`.

    Raises:
        ValueError: If the name is unknown, or the weights do not fit.
    """
    key = _key(name)
    if key == "conv4":
        if weights == "imagenet":
            raise ValueError(
                "There are no ImageNet weights for 'conv4'. Pass `weights=None` or a "
                "path. Received: weights='imagenet'."
            )
        preprocessing = keras.layers.Rescaling(1 / 255)
        return preprocessing, _with_weights(conv4(input_shape), weights)
    application = _applications().get(key)
    if application is None:
        close = difflib.get_close_matches(key, backbone_names(), n=3)
        raise ValueError(
            f"Unknown backbone {name!r}. "
            + (f"Did you mean {' or '.join(map(repr, close))}? " if close else "")
            + "`models.backbone_names()` lists all."
        )
    imagenet = "imagenet" if weights == "imagenet" else None
    backbone = application(
        include_top=False, weights=imagenet, input_shape=(*input_shape[:2], 3)
    )
    mode = _MODES.get(application.__module__.rsplit(".", 1)[-1])
    preprocessing = ImageNetPreprocessing(mode) if mode else None
    return preprocessing, _with_weights(backbone, None if imagenet else weights)


def conv4(input_shape, filters=64):
    """Builds the four-block network of the few-shot literature.

    Each block is a 3×3 convolution, batch normalisation, ReLU and a 2×2 max pooling, so
    an image must have at least 16 pixels a side.

    Source: Vinyals et al., "Matching Networks for One Shot Learning", NIPS 2016.
    """
    if min(input_shape[:2]) < 16:
        raise ValueError(
            "'conv4' halves its input four times, so images must have at least 16 "
            f"pixels a side. Received: input_shape={tuple(input_shape)}."
        )
    x = inputs = keras.Input(input_shape)
    for block in range(1, 5):
        x = keras.layers.Conv2D(
            filters, 3, padding="same", use_bias=False, name=f"block{block}_conv"
        )(x)
        x = keras.layers.BatchNormalization(name=f"block{block}_norm")(x)
        # The same as ReLU before pooling, as it is monotone, at a quarter of its cost.
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
        x = keras.layers.ReLU(name=f"block{block}_relu")(x)
    return keras.Model(inputs, x, name="conv4")


def _applications():
    return {
        _key(name): getattr(keras.applications, name)
        for name in dir(keras.applications)
        if name[0].isupper()
    }


def _key(name):
    return name.lower().replace("_", "").replace("-", "")


def _with_weights(backbone, weights):
    if weights is None:
        return backbone
    path = pathlib.Path(weights)
    if not path.is_file():
        raise ValueError(
            "`weights` must be None, 'imagenet' or the path of a file. "
            f"Received: weights={str(weights)!r}, which is no file."
        )
    if path.suffix == ".npz":
        _load_npz(backbone, path)
    elif path.suffix in (".h5", ".hdf5"):
        backbone.load_weights(path)
    else:
        raise ValueError(
            "`weights` must be an `.npz` or an `.h5` file; a whole `.keras` embedder "
            f"loads with keras.saving.load_model. Received: weights={str(weights)!r}."
        )
    return backbone


def _load_npz(backbone, path):
    """Sets weights from arrays `<layer>/<variable>`; further arrays are ignored."""
    with np.load(path) as arrays:
        for layer in backbone.layers:
            if layer.weights:
                layer.set_weights(
                    [
                        _array(arrays, f"{layer.name}/{w.name}", w, path)
                        for w in layer.weights
                    ]
                )


def _array(arrays, name, variable, path):
    if name not in arrays:
        raise ValueError(
            f"{path.name} has no array {name!r}. It must hold every weight of the "
            "backbone as `<layer>/<variable>`."
        )
    if arrays[name].shape != tuple(variable.shape):
        raise ValueError(
            f"{name!r} in {path.name} must have the shape {tuple(variable.shape)}. "
            f"Received: {arrays[name].shape}."
        )
    return arrays[name].astype("float32")
