"""Class labels: from ids of any kind to integers and back."""

from collections.abc import Hashable, Iterable

import numpy as np


def encode(
    ids: Iterable[Hashable],
    classes: Iterable[Hashable] | None = None,
    return_classes: bool = False,
):
    """Numbers the classes from 0 to C-1 and gives every example its number.

    Classes are numbered in sorted order, or, where they cannot be sorted (`None`
    beside strings), in the order in which they are first seen.

    Args:
        ids: n class ids, one per example: strings, integers, tuples, anything hashable.
        classes: The table of an earlier call (`return_classes=True`); further ids,
            those of a validation set for one, are then numbered by the same table.
        return_classes: Whether to return the table as well.

    Returns:
        `labels (n,)` int64; with `return_classes=True`, `(labels, classes)`, where
        `classes (c,)` is an array for which `classes[labels]` gives the ids back.

    Raises:
        ValueError: If `ids` is one string or has more than one axis, if an id is NaN or
            not hashable, if `classes` repeats one, or if an id is not among `classes`.

    Example:

    >>> kerasdml.data.encode(["cat", "ant", "cat"], return_classes=True)
    (array([1, 0, 1]), array(['ant', 'cat'], dtype='<U3'))
    """
    ids = _as_hashables(ids, "ids")
    known = (
        _in_order(_different(ids))
        if classes is None
        else _as_hashables(classes, "classes")
    )
    table = {name: number for number, name in enumerate(known)}
    if len(table) < len(known):
        raise ValueError(
            f"`classes` must not repeat an id. Received {len(known)} ids, "
            f"of which {len(table)} are different."
        )
    unknown = _different(name for name in ids if name not in table)
    if unknown:
        raise ValueError(
            "Every id must be among `classes`. "
            f"Received {len(unknown)} others, the first: {unknown[:3]!r}."
        )
    labels = np.fromiter((table[name] for name in ids), np.int64, len(ids))
    return (labels, _as_array(known)) if return_classes else labels


def at_least(labels, count: int) -> np.ndarray:
    """Finds the examples whose class has at least `count` of them.

    Args:
        labels: `(n,)` integers.
        count: The smallest class that stays, in examples, at least 1.

    Returns:
        `(m,)` int64 positions in `labels`, ascending; empty if no class is as large.

    Example:

    >>> kerasdml.data.at_least([7, 8, 7], 2)
    array([0, 2])
    """
    _, number, sizes = np.unique(
        check_labels(labels), return_inverse=True, return_counts=True
    )
    return np.flatnonzero(sizes[number] >= count)


def check_labels(labels) -> np.ndarray:
    """Returns `labels` as an array `(n,)` of integers, or says why it is none."""
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(
            "`labels` must have the shape (n,), one class per example. "
            f"Received: shape {labels.shape}."
        )
    if labels.dtype.kind not in "iu":
        raise ValueError(
            f"`labels` must be integers. Received: dtype {labels.dtype}. "
            "`data.encode(ids)` turns ids of any kind into integers."
        )
    if not labels.size:
        raise ValueError("`labels` must hold at least one example. Received: none.")
    return labels


def _as_hashables(ids, name):
    if isinstance(ids, str | bytes) or isinstance(ids, np.ndarray) and ids.ndim != 1:
        raise ValueError(
            f"`{name}` must be a sequence of ids, one per example. Received: {ids!r}."
        )
    ids = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
    for position, item in enumerate(ids):
        # NaN is the one value that differs from itself: no table can find it again.
        if not isinstance(item, Hashable) or item != item:
            raise ValueError(
                f"`{name}` must be hashable and not NaN. "
                f"Received at position {position}: {item!r}."
            )
    return ids


def _different(items) -> list:
    """The different ones among `items`, in the order in which they are first seen."""
    return list(dict.fromkeys(items))


def _in_order(ids):
    try:
        return sorted(ids)
    except TypeError:
        return ids


def _as_array(ids):
    """One axis whatever the ids are: NumPy would unpack tuples and print numbers."""
    if {type(item) for item in ids} in ({str}, {int}):
        return np.asarray(ids)
    array = np.empty(len(ids), object)
    array[:] = ids
    return array
