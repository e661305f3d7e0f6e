"""SphereFace: multiplicative angular margin softmax."""

import keras
from keras import ops

from kerasdml.layers import Scheduled
from kerasdml.layers.scheduled import check_scheduled
from kerasdml.losses.base import ProxyLoss
from kerasdml.ops import (
    of_own,
    safe_sqrt,
    similarities,
    softmax_costs,
    with_angle_multiplied,
)
from kerasdml.step import step


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class SphereFace(ProxyLoss):
    """Softmax over the proxies' cosines, with the own class's angle multiplied.

    With `theta` the angle between an embedding and a proxy, the logits are
    `scale * cos(theta)`, for the own class `scale * psi(theta)`, and the cost is their
    cross-entropy. `psi` is `cos(margin * theta)` made to fall throughout:
    `(-1)^k cos(margin * theta) - 2 k`, with k the whole number of times that
    `margin * theta` holds pi.

    The paper, as pytorch-metric-learning, has the length of the embedding for a scale
    and a margin of 4, which it can only train along with a plain softmax that fades
    out: `scale=None, margin=4` and a `plain` that falls. The authors' later work
    compares by direction alone, as all losses here do by default, with a scale of 30
    and a margin of 1.5, and needs no help: hence the defaults.

    Pair weight: of another proxy, `scale` times its share of the softmax; of the own,
    `scale` times one less its share, times the mean (`plain` to 1) of 1 and the slope
    `margin * |sin(margin * theta)| / sin(theta)`, `margin^2` where `theta` is 0 or pi.

    Args:
        num_classes: Number of classes, at least 2.
        scale: Of the logits, per unit of cosine, > 0; `None` takes the length of each
            embedding. Paper: `None`; the authors' later code, and the default: 30.
        margin: Factor of the angle, at least 1, whole or not. Paper: 4; the authors'
            later code, and the default: 1.5.
        plain: Weight of the plain logit beside one of `psi`, whose mean is the own
            logit, at least 0: a number, or a schedule of `keras.optimizers.schedules`,
            by steps of training. The authors' code for the paper lets it fall from
            1000 to 5, as `InverseTimeDecay(1000.0, 1, 0.12)` does in 1,658 steps; their
            later code, and the default: 0.
        **kwargs: `regularizer`, and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `scale`, `margin` or `plain` is outside its range, or
            `num_classes` is below 2.

    Example:

    >>> model = kerasdml.MetricModel(embedder)
    >>> model.compile("adam", loss=kerasdml.losses.SphereFace(num_classes=100))

    Source: Liu et al., "SphereFace: Deep Hypersphere Embedding for Face Recognition",
    CVPR 2017, https://arxiv.org/abs/1704.08063, and "SphereFace Revived", TPAMI 2023,
    https://arxiv.org/abs/2109.05565. The latter's detached gradient is left out.
    """

    def __init__(self, *, num_classes, scale=30.0, margin=1.5, plain=0.0, **kwargs):
        super().__init__(num_classes=num_classes, **kwargs)
        if (scale is not None and scale <= 0) or margin < 1:
            raise ValueError(
                "`scale` must be positive or None, and `margin` a factor of at least "
                f"1. Received: scale={scale}, margin={margin}."
            )
        self.scale = scale
        self.margin = margin
        self.plain = check_scheduled("plain", plain)
        self.schedule = Scheduled(schedule=plain, name="plain")

    @property
    def layers(self):
        return [*super().layers, self.schedule]

    def cost(self, embeddings, positives, negatives):
        s = similarities(embeddings, ops.cast(self.proxies.points, embeddings.dtype))
        squares = ops.sum(embeddings**2, axis=1, keepdims=True)
        return self.pair_loss(s, positives, negatives, safe_sqrt(squares, 0.0))

    def pair_loss(self, similarities, positives, negatives, lengths=1.0):
        scale = lengths if self.scale is None else self.scale
        plain = ops.cast(self.schedule.now(step.training), similarities.dtype)
        own = of_own(similarities, positives)
        own = (plain * own + with_angle_multiplied(own, self.margin)) / (plain + 1.0)
        return softmax_costs(scale * own, scale * similarities, positives, negatives)
