"""Figures of verification: whether two embeddings are of one class."""

from typing import NamedTuple

import numpy as np


class RocCurve(NamedTuple):
    """What pairs accepted at each threshold are; see `roc_curve`."""

    fpr: np.ndarray
    tpr: np.ndarray
    thresholds: np.ndarray


def verification(scores, same, *, fprs=(1e-3,), folds=10, thresholds=None):
    """Computes ROC AUC, TPR@FPR, the equal error rate and accuracy over folds, exactly.

    A pair is accepted if its score is at least the threshold. Equal scores are accepted
    together, so that no figure depends on the order of ties. Takes O(n log n) time.

    Args:
        scores: `(n,)` similarities of the pairs; larger is closer.
        same: `(n,)` whether both of a pair are of one class: booleans, or 0 and 1.
        fprs: False-positive rates, each from 0 to 1, at most which are allowed for
            TPR@FPR: the largest true-positive rate of any threshold that keeps to it,
            without interpolation. Below one over the number of different pairs, that
            is without any false positive.
        folds: How accuracy is held out, as in `fold_accuracy`: a number of folds, or
            the fold of each pair; None leaves accuracy out.
        thresholds: Those to choose from for accuracy, as in `fold_accuracy`.

    Returns:
        A dict of floats, 0 … 1: `roc_auc`, the share of same pairs scored above
        different ones, ties by half; `eer`, the rate at which the line through the
        curve has as many false positives as false negatives; `tpr_at_fpr_{fpr:g}` for
        every rate; `accuracy` and `accuracy_std`, the mean and the standard deviation
        (dividing by the number of folds) over folds.

    Raises:
        ValueError: If the lengths differ, a score is NaN or infinite, all pairs are
            same or all are different, or an option is out of its range.

    Example:

    >>> metrics.verification([0.9, 0.7, 0.8, 0.2], [1, 0, 1, 0], folds=None)["roc_auc"]
    1.0

    Source: Huang et al., "Labeled Faces in the Wild", 2007,
    http://vis-www.cs.umass.edu/lfw/.
    """
    for rate in fprs:
        check_rate("fprs", rate)
    curve = roc_curve(scores, same)
    result = {"roc_auc": _area(curve), "eer": _equal_error_rate(curve)}
    for rate in fprs:
        within = np.searchsorted(curve.fpr, rate, side="right") - 1
        result[f"tpr_at_fpr_{rate:g}"] = float(curve.tpr[within])
    if folds is not None:
        accuracies = fold_accuracy(scores, same, folds=folds, thresholds=thresholds)
        result["accuracy"] = float(np.mean(accuracies))
        result["accuracy_std"] = float(np.std(accuracies))
    return result


def roc_curve(scores, same):
    """Computes the rates of false and true positives at every threshold.

    Args:
        scores: `(n,)` similarities of the pairs; larger is closer.
        same: `(n,)` whether both of a pair are of one class: booleans, or 0 and 1.

    Returns:
        `RocCurve(fpr, tpr, thresholds)`, each `(t + 1,)` for t distinct scores: the
        shares of the different and of the same pairs whose score is at least the
        threshold. Thresholds descend from infinity, where nothing is accepted.

    Raises:
        ValueError: As `metrics.verification` does.

    Example:

    >>> metrics.roc_curve([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0]).tpr
    array([0. , 0.5, 1. , 1. ])
    """
    scores, same = check_scores(scores, same)
    thresholds = distinct_descending(scores)
    positives, negatives = scores[same], scores[~same]
    return RocCurve(
        fpr=count_accepted(negatives, thresholds) / len(negatives),
        tpr=count_accepted(positives, thresholds) / len(positives),
        thresholds=thresholds,
    )


def fold_accuracy(scores, same, *, folds=10, thresholds=None):
    """Computes the accuracy on each fold at the best threshold of all others.

    Of equally good thresholds it is the strictest, the first of the LFW protocol. That
    one accepts distances *below* its threshold, here a score equal to it is accepted.

    Args:
        scores: `(n,)` similarities of the pairs; larger is closer.
        same: `(n,)` whether both of a pair are of one class: booleans, or 0 and 1.
        folds: How many, from 2 to n: contiguous, in the given order of the pairs,
            since in LFW nobody is in two of its folds. Or `(n,)` integers, the fold of
            each pair.
        thresholds: Those to choose from. None: every score of the other folds, and
            infinity. Common code of LFW uses `-np.arange(0, 4, 0.01)` on scores that
            are minus squared distances of unit vectors.

    Returns:
        `(folds,)` accuracies, 0 … 1, in the order of the folds.

    Raises:
        ValueError: As `metrics.verification` does.

    Example:

    >>> metrics.fold_accuracy([0.9, 0.2, 0.8, 0.1], [1, 0, 1, 0], folds=2)
    array([0.5, 1. ])
    """
    scores, same = check_scores(scores, same)
    folds = _fold_of_each(folds, len(scores))
    if thresholds is None:
        # Those of the held-out fold alone do no better than the next stricter.
        thresholds = distinct_descending(scores)
    else:
        thresholds = np.sort(np.asarray(thresholds, float))[::-1]
    # The strictest threshold that accepts each pair, and what it gains by that.
    first = np.searchsorted(-thresholds, -scores)
    gains = np.where(same, 1.0, -1.0)
    # The accuracy, but for a factor and a constant.
    of_all = _summed(first, gains, len(thresholds))
    accuracies = []
    for fold in np.unique(folds):
        held_out = folds == fold
        own = _summed(first[held_out], gains[held_out], len(thresholds))
        accepted = scores[held_out] >= thresholds[np.argmax(of_all - own)]
        accuracies.append(np.mean(accepted == same[held_out]))
    return np.array(accuracies)


def count_accepted(scores, thresholds):
    """Counts for each threshold the scores that are at least as large."""
    return len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")


def distinct_descending(scores):
    """Returns infinity and then every distinct score, the largest first."""
    return np.concatenate([[np.inf], np.unique(scores)[::-1]])


def check_scores(scores, same):
    """Returns `(n,)` float64 scores and `(n,)` booleans, some of each, or raises."""
    scores, same = np.asarray(scores, float), np.asarray(same)
    if scores.ndim != 1 or same.shape != scores.shape:
        raise ValueError(
            "`scores` and `same` must be one number and one flag a pair, of the same "
            f"shape `(n,)`. Received: shapes {scores.shape} and {same.shape}."
        )
    bad = np.flatnonzero(~np.isfinite(scores))
    if bad.size:
        raise ValueError(
            f"`scores` must be finite, but {bad.size} of {len(scores)} are NaN or "
            f"infinite, pair {bad[0]} first."
        )
    flags = same.astype(bool)
    if same.dtype.kind not in "biuf" or (flags != same).any():
        raise ValueError(
            "`same` must be booleans, or 0 and 1: whether both of a pair are of one "
            "class. `metrics.pair_scores` makes them of embeddings and their classes."
        )
    if flags.all() or not flags.any():
        kind = "different" if len(flags) == 0 or not flags.any() else "same"
        raise ValueError(
            "There must be pairs of one class and pairs of two. "
            f"Received: {len(flags)} pairs, all {kind}."
        )
    return scores, flags


def check_rate(name, rate):
    if not 0 <= rate <= 1:
        raise ValueError(f"`{name}` must be from 0 to 1. Received: {rate}.")


def _area(curve):
    # Trapezoids: where same and different pairs tie, the curve is a slope.
    heights = (curve.tpr[1:] + curve.tpr[:-1]) / 2
    return float(np.sum(np.diff(curve.fpr) * heights))


def _equal_error_rate(curve):
    # From -1, where nothing is accepted, to 1, and larger at every threshold.
    excess = curve.fpr - (1 - curve.tpr)
    after = np.searchsorted(excess, 0.0)
    before = after - 1
    share = -excess[before] / (excess[after] - excess[before])
    return float(curve.fpr[before] + share * (curve.fpr[after] - curve.fpr[before]))


def _fold_of_each(folds, count):
    folds = np.asarray(folds)
    if folds.ndim == 0 and folds.dtype.kind in "iu" and 2 <= folds <= count:
        return np.arange(count) * int(folds) // count
    if folds.shape != (count,) or len(np.unique(folds)) < 2:
        raise ValueError(
            f"`folds` must be a number of folds from 2 to {count}, the number of "
            f"pairs, or an array `({count},)` of at least two folds; None in "
            "`metrics.verification` leaves accuracy out. Received: "
            f"{folds if folds.ndim == 0 else f'shape {folds.shape}'}."
        )
    return folds


def _summed(first, gains, count):
    """Sums at each of `count` thresholds the gains of the pairs that it accepts."""
    return np.cumsum(np.bincount(first, gains, minlength=count + 1)[:count])
