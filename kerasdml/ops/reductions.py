"""Reductions over the selected entries of an array: exact, and safe when empty."""

from keras import ops


def log1p_sum_exp(x, mask, axis=-1):
    """Computes `log(1 + sum(exp(x[mask])))` along `axis`, without overflow.

    A slice with nothing selected gives exactly 0, with zero gradient.
    """
    x = ops.where(mask, x, float("-inf"))
    peak = ops.stop_gradient(ops.maximum(ops.max(x, axis=axis, keepdims=True), 0.0))
    total = ops.exp(-peak) + ops.sum(ops.exp(x - peak), axis=axis, keepdims=True)
    return ops.squeeze(peak + ops.log(total), axis=axis)


def log_sum_exp(x, mask, axis=-1):
    """Computes `log(sum(exp(x[mask])))` along `axis`, without overflow.

    A slice with nothing selected gives 0 (not minus infinity), with zero gradient:
    ask `ops.any(mask, axis)` where the difference matters.
    """
    peak = ops.stop_gradient(masked_max(x, mask, axis=axis, keepdims=True))
    # Selecting before `exp` keeps an unselected infinity out of the gradient.
    terms = ops.exp(ops.where(mask, x - peak, float("-inf")))
    total = ops.sum(terms, axis=axis, keepdims=True)
    total = ops.where(total > 0.0, total, 1.0)
    return ops.squeeze(peak + ops.log(total), axis=axis)


def masked_max(x, mask, axis=-1, keepdims=False):
    """Returns the largest of `x[mask]` along `axis`; 0 where nothing is selected."""
    peak = ops.max(ops.where(mask, x, float("-inf")), axis=axis, keepdims=keepdims)
    return ops.where(ops.any(mask, axis=axis, keepdims=keepdims), peak, 0.0)


def masked_min(x, mask, axis=-1, keepdims=False):
    """Returns the smallest of `x[mask]` along `axis`; 0 where nothing is selected."""
    peak = ops.min(ops.where(mask, x, float("inf")), axis=axis, keepdims=keepdims)
    return ops.where(ops.any(mask, axis=axis, keepdims=keepdims), peak, 0.0)
