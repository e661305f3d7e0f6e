"""Attention between the positions of a feature map."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasdml.layers")
class SecondOrderAttention(keras.layers.Layer):
    """Adds to each position of a feature map what all positions that match it hold.

    With queries Q, keys K and values V, linear maps of the positions' features F:

        output = F + out(softmax(scale * Q Kᵀ) V)

    where the softmax is over the keys. `out` starts at zero, and the layer as the
    identity, so that it can be put into a pretrained network. Memory and time grow with
    the square of the number of positions: 196 of them, 14 by 14, make 38,416 weights.

    Args:
        reduction: How many times fewer channels Q, K and V have than F, at least 1.
            SOLAR's code: 4 on the map before the last of a ResNet and 2 on the last.
        scale: What products of queries and keys are multiplied by, > 0; `None`, the
            default and SOLAR's, is 1 over the root of their size. The paper on global
            and local representations is reported to have 1, with which a softmax of
            hundreds of channels is all but a choice of one.
        normalize: Whether queries and keys go through a batch normalization and a
            ReLU, as in SOLAR's code.
        **kwargs: `name`, `dtype`.

    Raises:
        ValueError: If `reduction` is not an integer of at least 1, or `scale` is not
            positive.

    Source: Ng et al., "SOLAR: Second-Order Loss and Attention for Image Retrieval",
    ECCV 2020, https://arxiv.org/abs/2001.08972; Ebrahimpour et al., "Multi-Head Deep
    Metric Learning Using Global and Local Representations", WACV 2022,
    https://arxiv.org/abs/2112.14327.
    """

    def __init__(self, reduction=2, scale=None, normalize=False, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(reduction, int) or reduction < 1:
            raise ValueError(
                "`reduction` must be an integer of at least 1. "
                f"Received: reduction={reduction!r}."
            )
        if scale is not None and scale <= 0:
            raise ValueError(
                f"`scale` must be positive, or `None`. Received: scale={scale}."
            )
        self.reduction = reduction
        self.scale = scale
        self.normalize = normalize

    def build(self, input_shape):
        channels = input_shape[-1]
        self.inner = max(channels // self.reduction, 1)
        self.query = self._map(self.inner, "query", input_shape)
        self.key = self._map(self.inner, "key", input_shape)
        self.value = self._map(self.inner, "value", input_shape)
        inner_shape = (*input_shape[:-1], self.inner)
        self.out = self._map(channels, "out", inner_shape, initializer="zeros")
        if self.normalize:
            self.query_norm = self._norm("query_norm", inner_shape)
            self.key_norm = self._norm("key_norm", inner_shape)
        self.built = True

    def call(self, features, training=None):
        queries, keys = self.query(features), self.key(features)
        if self.normalize:
            queries = ops.relu(self.query_norm(queries, training=training))
            keys = ops.relu(self.key_norm(keys, training=training))
        attention = self._attention(_positions(queries), _positions(keys))
        found = ops.matmul(attention, _positions(self.value(features)))
        found = ops.reshape(found, ops.shape(queries))
        return features + self.out(found)

    def _attention(self, queries, keys):
        """Returns `(b, m, m)` weights of m positions, which sum to 1 over the last."""
        # Half precision overflows at products of 65,504.
        queries, keys = ops.cast(queries, "float32"), ops.cast(keys, "float32")
        scale = self.inner**-0.5 if self.scale is None else self.scale
        logits = ops.matmul(scale * queries, ops.transpose(keys, (0, 2, 1)))
        return ops.cast(ops.softmax(logits, axis=-1), self.compute_dtype)

    def _map(self, size, name, shape, initializer="he_normal"):
        layer = keras.layers.Dense(
            size, kernel_initializer=initializer, name=name, dtype=self.dtype_policy
        )
        layer.build(shape)
        return layer

    def _norm(self, name, shape):
        layer = keras.layers.BatchNormalization(name=name, dtype=self.dtype_policy)
        layer.build(shape)
        return layer

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "reduction": self.reduction,
            "scale": self.scale,
            "normalize": self.normalize,
        }


def _positions(features):
    """Returns features `(b, …, c)` as `(b, m, c)`."""
    shape = ops.shape(features)
    return ops.reshape(features, (shape[0], -1, shape[-1]))
