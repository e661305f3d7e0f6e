"""Splits by class: what is tested was never trained on."""

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
