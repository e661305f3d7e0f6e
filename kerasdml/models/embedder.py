"""Embedders: from images to points whose distances mean something."""

import keras

from kerasdml.layers import GeM, L2Normalization
from kerasdml.models.backbones import build_backbone

POOLINGS = ("avg", "max", "avg+max", "gem")


def Embedder(
    backbone="conv4",
    dim=128,
    *,
    pooling="avg",
    weights=None,
    input_shape=(224, 224, 3),
    normalize=True,
    name=None,
):
    """Builds an embedder: backbone, pooling, a linear layer, and length 1.

    The result is an ordinary functional `keras.Model` from images `(b, h, w, channels)`
    of 0 … 255 to embeddings `(b, dim)` in float32; preprocessing is inside.

    Args:
        backbone: "conv4", the small four-block network of the few-shot literature, or
            any network of `keras.applications` by name, such as "resnet50" or
            "mobilenet_v2". `models.backbone_names()` lists all.
        dim: Embedding size, > 0. Papers: 64 … 2048, mostly 512.
        pooling: From feature maps to one vector: "avg", "max", "avg+max" (their sum,
            as Proxy-Anchor's code has it) or "gem" (`layers.GeM`).
        weights: Of the backbone: `None` (random), "imagenet" (downloaded by Keras), or
            the path of an `.npz` of arrays `<layer>/<variable>` or of an `.h5`.
        input_shape: `(height, width, channels)`. Grey images, of one channel, are
            repeated to three where the backbone wants colours.
        normalize: Whether embeddings have length 1. Some losses want them raw, among
            them lifted structure and N-pairs.
        name: Name of the model; the backbone's by default.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: If an argument is outside its range, the backbone is unknown or the
            weights do not fit.

    Example:

    >>> embedder = kerasdml.models.Embedder("resnet50", dim=512, weights="imagenet")
    """
    check_embedder(dim, pooling, input_shape)
    preprocessing, features = build_backbone(backbone, input_shape, weights)
    inputs = keras.Input(input_shape, name="images")
    x = features(prepared(inputs, preprocessing, features.input_shape[-1]))
    x = pooled(x, pooling)
    x = keras.layers.Dense(dim, name="embedding")(x)
    if normalize:
        x = L2Normalization(name="normalize")(x)
    else:
        # Similarities feel the 11 bits that mixed precision would leave.
        x = keras.layers.Activation("linear", dtype="float32", name="float32")(x)
    return keras.Model(inputs, x, name=name or features.name)


def prepared(images, preprocessing, channels):
    """Returns images as a backbone with so many channels wants them."""
    if images.shape[-1] != channels:
        images = keras.layers.Concatenate(name="grey_to_rgb")([images] * 3)
    return preprocessing(images) if preprocessing else images


def pooled(x, pooling, prefix=""):
    """Returns feature maps as one vector an image, by layers named with `prefix`."""
    average = keras.layers.GlobalAveragePooling2D(name=f"{prefix}average_pooling")
    maximum = keras.layers.GlobalMaxPooling2D(name=f"{prefix}max_pooling")
    if pooling == "gem":
        return GeM(name=f"{prefix}gem")(x)
    if pooling == "avg+max":
        return keras.layers.Add(name=f"{prefix}pooling")([average(x), maximum(x)])
    return average(x) if pooling == "avg" else maximum(x)


def check_embedder(dim, pooling, input_shape):
    """Raises a `ValueError` if an embedder cannot have these arguments."""
    if not isinstance(dim, int) or dim < 1:
        raise ValueError(f"`dim` must be a positive integer. Received: dim={dim!r}.")
    if pooling not in POOLINGS:
        raise ValueError(
            f"`pooling` must be one of {', '.join(map(repr, POOLINGS))}. "
            f"Received: pooling={pooling!r}."
        )
    if len(input_shape) != 3 or input_shape[-1] not in (1, 3):
        raise ValueError(
            "`input_shape` must be (height, width, channels) with 1 or 3 channels. "
            f"Received: input_shape={input_shape}."
        )
