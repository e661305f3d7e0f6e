"""Embedders with several heads, and what makes their embeddings small again."""

import keras

from kerasdml.layers import WeightedHeads


def EnsembleEmbedder(features, heads, dim=64, *, prior=None, floor=0.25, name=None):
    """Builds an embedder of several linear heads on one network of features.

    Its embeddings are the heads', each of length 1 and scaled by the root of a trained
    weight, one after another (`layers.WeightedHeads`). `losses.DiverseEnsemble` trains
    each head by a loss of its own, and the weights; their sum is then 1, and embeddings
    have length 1.

    Args:
        features: Built Keras model from one input to `(b, f)`, which becomes a part of
            the embedder, such as `models.Embedder(..., normalize=False)`.
        heads: How many, at least 1.
        dim: Size of each head, > 0; embeddings have `heads * dim`. Released code: 64.
        prior: `heads` positive numbers, in proportion to which the weights begin;
            `None`: all equal.
        floor: Least weight, in parts of 1 / heads, at least 0 and below every share of
            the prior.
        name: Name of the model; that of `features` by default.

    Returns:
        A `keras.Model` from the inputs of `features` to `(b, heads * dim)`, float32.

    Raises:
        ValueError: If an argument is outside its range.

    Example:

    >>> features = kerasdml.models.Embedder("resnet50", dim=512, normalize=False)
    >>> embedder = kerasdml.models.EnsembleEmbedder(features, heads=3)

    Source: as of `losses.Ensemble`.
    """
    shape = getattr(features, "output_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 2:
        raise ValueError(
            "`features` must be a built Keras model that gives (b, f). "
            f"Received: {features!r}."
        )
    _check_at_least_one(heads=heads, dim=dim)
    inputs = keras.Input(features.input_shape[1:])
    x = features(inputs)
    parts = [keras.layers.Dense(dim, name=f"head_{i}")(x) for i in range(heads)]
    joined = WeightedHeads(prior=prior, floor=floor, name="weighted_heads")(parts)
    return keras.Model(inputs, joined, name=name or features.name)


def Compressor(inputs, dim=128, *, hidden=128, name="compressor"):
    """Builds a small network from embeddings to smaller ones.

    `losses.DistancePreserving` trains it to keep distances, with the embedder as it is;
    `keras.Sequential([embedder, compressor])` is then an embedder again.

    Args:
        inputs: Size of the embeddings, > 0.
        dim: Size of the smaller ones, > 0. Released code: 128.
        hidden: Size of the hidden layer, of tanh, > 0. Released code: 128.
        name: Name of the model.

    Returns:
        A `keras.Sequential` from `(b, inputs)` to `(b, dim)`.

    Raises:
        ValueError: If a size is no integer of at least 1.

    Example:

    >>> compressor = kerasdml.models.Compressor(192, dim=128)

    Source: WEDL-C, as of `losses.Ensemble`.
    """
    _check_at_least_one(inputs=inputs, dim=dim, hidden=hidden)
    layers = [
        keras.layers.Dense(hidden, activation="tanh", name="hidden"),
        keras.layers.Dense(dim, name="embedding"),
    ]
    return keras.Sequential([keras.Input((inputs,)), *layers], name=name)


def _check_at_least_one(**sizes):
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise ValueError(
                f"`{name}` must be an integer of at least 1. Received: {name}={size!r}."
            )
