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


def first_largest(x, mask):
    """Selects, as `(q, r)` booleans, the largest of each row's `x[mask]`.

    Of equal ones it is the first; a row of which nothing is selected has none.
    """
    best = ops.argmax(ops.where(mask, x, float("-inf")), axis=1)
    columns = ops.arange(ops.shape(x)[1], dtype=best.dtype)
    return ops.logical_and(mask, columns == best[:, None])


def cross_entropies(pulls, pushes, positives, negatives):
    """Sums `log(1 + sum_N exp(push_n - pull_p))` over each anchor's positives p.

    That is minus the log of the share of p in a softmax over p and the negatives N.

    Args:
        pulls: `(q, r)` logits of pairs as positives.
        pushes: `(q, r)` logits of pairs as negatives.
        positives: `(q, r)` booleans.
        negatives: `(q, r)` booleans.

    Returns:
        `(q,)`, exactly 0 for an anchor without positives or without negatives.
    """
    excess = log_sum_exp(pushes, negatives)[:, None] - pulls
    some = ops.logical_and(positives, ops.any(negatives, axis=1)[:, None])
    return ops.sum(ops.where(some, ops.softplus(excess), 0.0), axis=1)


def row_shares_of_mean(x, mask):
    """Splits the mean of `x[mask]` over the rows: `(q,)`, whose mean is that mean.

    All are 0 where nothing is selected.
    """
    rows = ops.cast(ops.shape(x)[0], x.dtype)
    count = ops.maximum(ops.sum(ops.cast(mask, x.dtype)), 1.0)
    return ops.sum(ops.where(mask, x, 0.0), axis=1) * (rows / count)
