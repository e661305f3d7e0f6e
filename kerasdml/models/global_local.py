"""Embedders that look at two depths of a backbone."""

import keras

from kerasdml.layers import L2Normalization, OrthogonalFusion, SecondOrderAttention
from kerasdml.models.backbones import build_backbone
from kerasdml.models.embedder import check_embedder, pooled, prepared

FUSIONS = ("concat", "orthogonal")
# Where the last larger maps are half of a block.
_LOCAL_LAYERS = {"conv4": "block3_relu"}


def GlobalLocal(
    backbone="resnet50",
    dim=512,
    *,
    fusion="concat",
    pooling="avg+max",
    local_layer=None,
    attention_scale=1.0,
    attend_before_next_stage=False,
    weights=None,
    input_shape=(224, 224, 3),
    name=None,
):
    """Builds an embedder from global and local features of one backbone.

    Global features are the last maps of the backbone, local ones those before their
    last reduction, twice as fine. Both go through `layers.SecondOrderAttention` and a
    pooling; then, with `fusion="concat"`, each through a linear layer to half of the
    embedding. With "orthogonal" the global ones go through a linear layer to the local
    maps' number of channels, `layers.OrthogonalFusion` joins both, without pooling of
    the local ones, and a linear layer makes the embedding.

    The result is, as that of `models.Embedder`, an ordinary functional `keras.Model`
    from images `(b, h, w, channels)` of 0 … 255 to embeddings `(b, dim)` of length 1 in
    float32; preprocessing is inside.

    Args:
        backbone: As in `models.Embedder`.
        dim: Embedding size, > 0, even for "concat". Paper: 512.
        fusion: "concat", as in the paper, or "orthogonal", as in DOLG.
        pooling: "avg", "max", "avg+max" (their sum; paper) or "gem" (DOLG).
        local_layer: Name of the layer that gives the local features; by default the
            last of the backbone's whose maps are larger than its last ones, but for
            paddings: "conv4_block6_out" of "resnet50"; "block3_relu" of "conv4".
        attention_scale: `scale` of the attention, > 0, or `None`. Paper: 1.
        attend_before_next_stage: Whether the rest of the backbone goes on with the
            local features after attention, as in SOLAR; else with those before. All of
            the rest must then follow from the local features alone.
        weights: Of the backbone, as in `models.Embedder`.
        input_shape: `(height, width, channels)`, as in `models.Embedder`.
        name: Name of the model; the backbone's by default.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: If an argument is outside its range, if the backbone or the layer is
            unknown, or if the weights do not fit.

    Example:

    >>> embedder = kerasdml.models.GlobalLocal("resnet50", weights="imagenet")
    >>> pairs = losses.MultiSimilarity(beta=50, base=1.0, negative_sign="printed")
    >>> hybrid = pairs + 0.03 * losses.ProxyAnchor(num_classes=100)
    >>> kerasdml.MetricModel(embedder).compile("adam", loss=hybrid)

    Source: Ebrahimpour et al., "Multi-Head Deep Metric Learning Using Global and Local
    Representations", WACV 2022, https://arxiv.org/abs/2112.14327. A reconstruction from
    a report of the paper: the depth of its backbone, the size of the attention (here as
    in SOLAR, a quarter of the local channels and half of the global ones) and what the
    rest of the backbone goes on with are assumed. Orthogonal fusion: Yang et al.,
    "DOLG", ICCV 2021, https://arxiv.org/abs/2108.02927, here with this attention in
    place of its dilated convolutions and its weights of positions.
    """
    _check(dim, fusion, pooling, input_shape)
    preprocessing, features = build_backbone(backbone, input_shape, weights)
    local_layer = _local_layer(features, local_layer)
    attention = SecondOrderAttention(4, attention_scale, name="local_attention")
    inputs = keras.Input(input_shape, name="images")
    x = prepared(inputs, preprocessing, features.input_shape[-1])
    if attend_before_next_stage:
        trunk = keras.Model(features.input, local_layer.output, name=features.name)
        rest = keras.Model(local_layer.output, features.output, name="last_stage")
        local = attention(trunk(x))
        overall = rest(local)
    else:
        maps = [local_layer.output, features.output]
        local, overall = keras.Model(features.input, maps, name=features.name)(x)
        local = attention(local)
    overall = SecondOrderAttention(2, attention_scale, name="global_attention")(overall)
    overall = pooled(overall, pooling, "global_")
    if fusion == "concat":
        local = pooled(local, pooling, "local_")
        halves = [
            keras.layers.Dense(dim // 2, name="local_embedding")(local),
            keras.layers.Dense(dim // 2, name="global_embedding")(overall),
        ]
        x = keras.layers.Concatenate(name="embedding")(halves)
    else:
        overall = keras.layers.Dense(local.shape[-1], name="global_embedding")(overall)
        x = OrthogonalFusion(name="fusion")(local, overall)
        x = keras.layers.Dense(dim, name="embedding")(x)
    x = L2Normalization(name="normalize")(x)
    return keras.Model(inputs, x, name=name or features.name)


def _local_layer(features, name):
    """Returns the layer of that name, or that of the last maps before the smallest."""
    name = name or _LOCAL_LAYERS.get(features.name)
    if name is not None:
        return features.get_layer(name)
    height, width = features.output_shape[1:3]
    larger = [
        layer
        for layer in features.layers
        if not isinstance(layer, keras.layers.ZeroPadding2D)
        and len(layer.output.shape) == 4
        and layer.output.shape[1] > height
        and layer.output.shape[2] > width
    ]
    return larger[-1]


def _check(dim, fusion, pooling, input_shape):
    check_embedder(dim, pooling, input_shape)
    if fusion not in FUSIONS:
        raise ValueError(
            f"`fusion` must be 'concat' or 'orthogonal'. Received: fusion={fusion!r}."
        )
    if fusion == "concat" and dim % 2:
        raise ValueError(
            "`dim` must be even, half of it local and half global. "
            f"Received: dim={dim}."
        )
