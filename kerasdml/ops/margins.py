"""Softmax over proxies, with a margin for the class of the example."""

import math

from keras import ops

from kerasdml.ops.distances import safe_sqrt
from kerasdml.ops.reductions import log_sum_exp


def of_own(x, positives):
    """Returns `(q, 1)` the entry of `x (q, c)` at each row's one positive.

    A row without one gives 0.
    """
    return ops.sum(ops.where(positives, x, 0.0), axis=1, keepdims=True)


def softmax_costs(own, logits, positives, negatives):
    """Computes the cross-entropy of logits, the positive's being `own`.

    Args:
        own: `(q, 1)` logit of the positive.
        logits: `(q, c)` logits; that of the positive does not count.
        positives: `(q, c)` booleans, at most one a row.
        negatives: `(q, c)` booleans.

    Returns:
        `(q,)`, at least 0, and exactly 0 for a row without a positive.
    """
    logits = ops.where(positives, own, logits)
    costs = log_sum_exp(logits, ops.logical_or(positives, negatives)) - own[:, 0]
    return ops.where(ops.any(positives, axis=1), costs, 0.0)


def with_angle_added(cosine, angle):
    """Returns `cos(theta + angle)` of `cosine = cos(theta)`.

    Beyond `theta = pi - angle`, where that would rise again, it goes on falling, as
    `cos(theta) - angle * sin(angle)`.

    Args:
        cosine: Of any shape, -1 … 1.
        angle: In radians, 0 … pi / 2: a number, or a tensor.
    """
    # The addition theorem needs no arccos, whose slope is infinite at the ends.
    angle = ops.convert_to_tensor(angle, dtype=cosine.dtype)
    added = cosine * ops.cos(angle) - safe_sqrt(1.0 - cosine**2) * ops.sin(angle)
    beyond = cosine - angle * ops.sin(angle)
    return ops.where(cosine > -ops.cos(angle), added, beyond)


def with_angle_multiplied(cosine, factor):
    """Returns `cos(factor * theta)` of `cosine = cos(theta)`, made to fall throughout.

    That is `(-1)^k cos(factor * theta) - 2 k` with k the whole number of times that
    `factor * theta` holds pi.

    Args:
        cosine: Of any shape, -1 … 1.
        factor: At least 1.
    """
    sine = safe_sqrt(1.0 - cosine**2)
    theta = factor * ops.arctan2(sine, cosine)
    k = ops.stop_gradient(ops.floor(theta / math.pi))
    sign = 1.0 - 2.0 * ops.mod(k, 2.0)
    # The slope at the ends, which is lost with that of the angle.
    ends = ops.where(sine > 0.0, 0.0, cosine - ops.stop_gradient(cosine))
    return sign * ops.cos(theta) - 2.0 * k + factor**2 * ends
