"""MagFace: lengths of embeddings that say how good an image is."""

import math

import keras
from keras import ops

from kerasdml.losses.base import ProxyLoss
from kerasdml.ops import of_own, similarities, softmax_costs, with_angle_added


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class MagFace(ProxyLoss):
    """ArcFace with a larger margin for longer embeddings, and a reward for length.

    Easy examples gain by growing longer, hard ones do not, so that the length becomes a
    measure of the quality of the image. With `a` the length of the embedding, brought
    to `shortest` … `longest`, the margin rises with it from `margin` to
    `longest_margin`, and the cost is that of `ArcFace` and

        length_weight * (a / longest^2 + 1 / a)

    Both take part in the gradient. An embedding outside the range gets none along its
    length: the embedder must give raw embeddings of lengths within it.

    Pair weight: that of `ArcFace`.

    Args:
        num_classes: Number of classes, at least 2.
        scale: Of the logits, per unit of cosine, > 0. Paper: 64.
        shortest: Least length that counts, > 0. Paper: 10.
        longest: Greatest length that counts, above `shortest`. Paper: 110.
        margin: Angle in radians at `shortest`, at least 0. The authors' run: 0.45.
        longest_margin: Angle in radians at `longest`, from `margin` to below pi / 2.
            The authors' run: 0.8.
        length_weight: Of the reward for length, at least 0. The authors' run: 35; their
            code's default: 20. For an optimum within the range it must be at least
            `scale` times the slope of the margin times `longest^2 shortest^2 /
            (longest^2 - shortest^2)`, 22.6 with these values.
        **kwargs: `regularizer`, and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If an argument is outside its range, or `num_classes` is below 2.

    Example:

    >>> model = kerasdml.MetricModel(embedder)
    >>> model.compile("adam", loss=kerasdml.losses.MagFace(num_classes=100))

    Source: Meng et al., "MagFace: A Universal Representation for Face Recognition and
    Quality Assessment", CVPR 2021, https://arxiv.org/abs/2103.06627. The authors' code
    leaves out the margin where `theta` is above pi / 2, where the own logit jumps up;
    here it falls throughout, as that of `ArcFace` does.
    """

    def __init__(
        self,
        *,
        num_classes,
        scale=64.0,
        shortest=10.0,
        longest=110.0,
        margin=0.45,
        longest_margin=0.8,
        length_weight=35.0,
        **kwargs,
    ):
        super().__init__(num_classes=num_classes, **kwargs)
        if scale <= 0 or length_weight < 0 or not 0 < shortest < longest:
            raise ValueError(
                "`scale` must be positive, `length_weight` not negative and `shortest` "
                f"positive and below `longest`. Received: scale={scale}, "
                f"length_weight={length_weight}, shortest={shortest}, "
                f"longest={longest}."
            )
        if not 0 <= margin <= longest_margin < math.pi / 2:
            raise ValueError(
                "`margin` and `longest_margin` must be angles in [0, pi / 2), the "
                f"second not the smaller. Received: margin={margin}, "
                f"longest_margin={longest_margin}."
            )
        self.scale = scale
        self.shortest = shortest
        self.longest = longest
        self.margin = margin
        self.longest_margin = longest_margin
        self.length_weight = length_weight

    def cost(self, embeddings, positives, negatives):
        # The range is taken of squares: the slope of a root is infinite at 0.
        squares = ops.sum(embeddings**2, axis=1, keepdims=True)
        lengths = ops.sqrt(ops.clip(squares, self.shortest**2, self.longest**2))
        slope = (self.longest_margin - self.margin) / (self.longest - self.shortest)
        margins = self.margin + slope * (lengths - self.shortest)
        s = similarities(embeddings, ops.cast(self.proxies.points, embeddings.dtype))
        costs = self.pair_loss(s, positives, negatives, margins)
        reward = self.length_weight * (lengths / self.longest**2 + 1.0 / lengths)
        return costs + ops.where(ops.any(positives, axis=1), reward[:, 0], 0.0)

    def pair_loss(self, similarities, positives, negatives, margins=None):
        margins = self.margin if margins is None else margins
        own = with_angle_added(of_own(similarities, positives), margins)
        return softmax_costs(
            self.scale * own, self.scale * similarities, positives, negatives
        )
