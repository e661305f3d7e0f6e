"""Channels weighted by an image, and by its modality."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="kerasdml.layers")
class ConditionalSqueezeExcite(keras.layers.Layer):
    """Scales each channel of a feature map by what the whole map and its modality say.

        output = F * sigmoid(excite(relu(squeeze(mean of F))) + modality * shift)

    with two linear maps and, for each channel, a learned `shift`, which starts at 0.
    Images of modality 0 see a plain squeeze-and-excitation block.

    Call it with the map `(b, h, w, c)` and the modality, 0 or 1, `(b,)` or `(b, 1)`.

    Args:
        reduction: How many times fewer channels there are between the two maps, at
            least 1. The authors' code: 16.
        **kwargs: `name`, `dtype`.

    Raises:
        ValueError: If `reduction` is not an integer of at least 1.

    Example:

    >>> images, modality = keras.Input((64, 64, 3)), keras.Input((), dtype="int32")
    >>> x = keras.layers.Conv2D(64, 3)(images)
    >>> x = kerasdml.layers.ConditionalSqueezeExcite()(x, modality)

    Source: Huang et al., "Modality-Aware Triplet Hard Mining for Zero-shot
    Sketch-Based Image Retrieval", 2021, https://arxiv.org/abs/2112.07966, who put it
    behind the last batch normalization of each bottleneck; after Lu et al., BMVC 2018.
    """

    def __init__(self, reduction=16, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(reduction, int) or reduction < 1:
            raise ValueError(
                "`reduction` must be an integer of at least 1. "
                f"Received: reduction={reduction!r}."
            )
        self.reduction = reduction

    def build(self, features_shape, modality_shape):
        channels = features_shape[-1]
        inner = max(channels // self.reduction, 1)
        policy = self.dtype_policy
        self.squeeze = keras.layers.Dense(
            inner, activation="relu", name="squeeze", dtype=policy
        )
        self.squeeze.build((None, channels))
        self.excite = keras.layers.Dense(channels, name="excite", dtype=policy)
        self.excite.build((None, inner))
        self.shift = self.add_weight(
            name="shift", shape=(channels,), initializer="zeros"
        )
        self.built = True

    def call(self, features, modality):
        modality = ops.reshape(ops.cast(modality, features.dtype), (-1, 1))
        logits = self.excite(self.squeeze(ops.mean(features, axis=(1, 2))))
        gates = ops.sigmoid(logits + modality * self.shift)
        return features * gates[:, None, None, :]

    def compute_output_shape(self, features_shape, modality_shape):
        return features_shape

    def get_config(self):
        return {**super().get_config(), "reduction": self.reduction}
