"""Sparse centers."""

import keras
from keras import ops

from kerasdml.config import Configured
from kerasdml.layers.proxies import check_per_class
from kerasdml.ops import normalize, safe_sqrt


@keras.saving.register_keras_serializable(package="kerasdml.regularizers")
class SparseCenters(Configured, keras.regularizers.Regularizer):
    """Draws the proxies of one class together, so that it uses as few as it needs.

    The penalty is `weight` times half the mean distance between two proxies of a class,
    scaled to length 1. Distances, other than their squares, make proxies meet. Where
    they have met, the gradient is 0.

    Args:
        per_class: Proxies a class has, at least 2, those of a class in a row:
            `(num_classes * per_class, dim)`, or `(num_classes, per_class, dim)`.
        weight: Of the penalty, beside a loss that is a mean over examples. Paper: 0.2.

    Raises:
        ValueError: If `per_class` is not an integer of at least 2, or the proxies are
            not a multiple of it.

    Example:

    >>> regularizer = kerasdml.regularizers.SparseCenters(per_class=3, weight=0.2)
    >>> kerasdml.losses.SubCenterArcFace(
    ...     num_classes=100, per_class=3, regularizer=regularizer
    ... )

    Source: Qian et al., "SoftTriple Loss: Deep Metric Learning Without Triplet
    Sampling", ICCV 2019, https://arxiv.org/abs/1909.05235. The half, from its divisor,
    is also in the authors' code; their 1e-5 under the root is not needed here.
    """

    def __init__(self, *, per_class, weight=1.0):
        if check_per_class(per_class) < 2:
            raise ValueError(
                "`per_class` must be at least 2: one proxy is as close to itself as "
                f"can be. Received: per_class={per_class}."
            )
        self.per_class = per_class
        self.weight = weight

    def __call__(self, x):
        x = ops.convert_to_tensor(x)
        if len(x.shape) == 2 and x.shape[0] % self.per_class:
            raise ValueError(
                f"The number of proxies must be a multiple of `per_class="
                f"{self.per_class}`. Received: {x.shape[0]} proxies."
            )
        x = normalize(ops.reshape(x, (-1, self.per_class, x.shape[-1])))
        squares = 2.0 - 2.0 * ops.matmul(x, ops.transpose(x, (0, 2, 1)))
        pairs = 1.0 - ops.eye(self.per_class, dtype=x.dtype)
        distances = safe_sqrt(squares * pairs, 2.0)
        ordered = self.per_class * (self.per_class - 1)
        mean = ops.mean(ops.sum(distances, axis=(1, 2))) / ordered
        return self.weight * mean / 2.0
