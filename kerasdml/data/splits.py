"""Splits by class: what is tested was never trained on."""

import numbers

import numpy as np

from kerasdml.data.labels import check_labels


def class_disjoint_split(
    labels, test_fraction: float = 0.5, seed: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Splits a data set so that no class is on both sides.

    Args:
        labels: `(n,)` integers.
        test_fraction: Share of the classes, not of the examples, that is held out,
            above 0 and below 1; at least one class stays on either side.
        seed: Which classes: `None` holds out the last ones in order, as the field's
            standard splits do; an integer of at least 0 draws them.

    Returns:
        `train, test`: the examples of either side, ascending positions in `labels`.

    Raises:
        ValueError: If `test_fraction` is outside its range, there are fewer than two
            classes, or the labels are not `(n,)` integers.

    Example:

    >>> kerasdml.data.class_disjoint_split([0, 0, 1, 2, 2, 3])
    (array([0, 1, 2]), array([3, 4, 5]))
    """
    labels = check_labels(labels)
    if not 0 < test_fraction < 1:
        raise ValueError(
            "`test_fraction` must be above 0 and below 1. "
            f"Received: test_fraction={test_fraction}."
        )
    classes = np.unique(labels)
    if len(classes) < 2:
        raise ValueError(
            "A split by class needs at least two classes. "
            f"Received labels of {len(classes)}."
        )
    if seed is not None:
        classes = np.random.default_rng(seed).permutation(classes)
    held_out = min(max(round(len(classes) * test_fraction), 1), len(classes) - 1)
    test = np.isin(labels, classes[-held_out:])
    return np.flatnonzero(~test), np.flatnonzero(test)


def class_disjoint_folds(
    labels, folds: int = 4, seed: int | None = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Splits a training set for cross-validation, so that no class is on both sides.

    Hyperparameters, and when to stop, are chosen on classes that are neither trained
    on nor tested on: give it the labels of the examples to train on, not those of all.

    Args:
        labels: `(n,)` integers, classes of the training set.
        folds: Into how many groups, equal to within one class, the classes are cut;
            from 2 to the number of classes.
        seed: Which classes: `None` cuts them in order; an integer of at least 0 draws
            them.

    Returns:
        For every fold `train, validation`, ascending positions in `labels`: the classes
        of one group are `validation`, all others `train`.

    Raises:
        ValueError: If `folds` is outside its range, or the labels are not `(n,)`
            integers.

    Example:

    >>> train = birds.subset(np.flatnonzero(birds.split == 0))
    >>> for rows, validation in kerasdml.data.class_disjoint_folds(train.labels):
    ...     fit(train.subset(rows), train.subset(validation))

    Source: four folds of classes in order as in Musgrave et al., ECCV 2020,
    https://arxiv.org/abs/2003.08505.
    """
    labels = check_labels(labels)
    classes = np.unique(labels)
    if not isinstance(folds, numbers.Integral) or not 2 <= folds <= len(classes):
        raise ValueError(
            "`folds` must be an integer from 2 to the number of classes, "
            f"{len(classes)}. Received: folds={folds!r}."
        )
    if seed is not None:
        classes = np.random.default_rng(seed).permutation(classes)
    held_out = [np.isin(labels, group) for group in np.array_split(classes, folds)]
    return [(np.flatnonzero(~rows), np.flatnonzero(rows)) for rows in held_out]
