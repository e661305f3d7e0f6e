"""Classes as numbers, and how many items of its own a query can find."""

import numpy as np


def encode_both(labels, gallery_labels):
    """Returns the labels of both as int32 codes: 0 … c-1, equal where labels are.

    On the host, because a tensor would round or wrap large ids and refuse strings.
    """
    # As objects, since NumPy would turn 1 beside "1" into "1", and mixed signed and
    # unsigned integers into floats.
    if labels.dtype != gallery_labels.dtype:
        labels, gallery_labels = labels.astype(object), gallery_labels.astype(object)
    try:
        _, codes = np.unique(
            np.concatenate([labels, gallery_labels]), return_inverse=True
        )
    except TypeError as error:
        raise ValueError(
            "`labels` and `gallery_labels` must be of one kind, integers or strings. "
            f"Received a mixture: {error}."
        ) from error
    codes = codes.astype("int32")
    return codes[: len(labels)], codes[len(labels) :]


def count_relevant(codes, gallery_codes, own):
    """Returns R, the relevant gallery items of each query, `(q,)`."""
    sizes = np.bincount(gallery_codes, minlength=codes.max(initial=-1) + 1)
    return sizes[codes] - own


def count_ignored(ignored, codes, gallery_codes, own):
    """Returns how many items of each query are ignored, and how many relevant ones.

    Each item once, however often it is named, and the query itself never.
    """
    ignored = np.sort(ignored, axis=1)
    counted = ignored >= 0
    counted[:, 1:] &= ignored[:, 1:] != ignored[:, :-1]
    if own:
        counted &= ignored != np.arange(len(ignored))[:, None]
    relevant = counted & (gallery_codes[ignored] == codes[:, None])
    return counted.sum(axis=1), relevant.sum(axis=1)
