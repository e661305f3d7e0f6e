"""Pairs to mine."""

import numpy as np


def random_pairs(seed, anchors=7, references=9, positives=0.3):
    """Similarities, many of them equal, and masks with some pairs of neither kind.

    The similarities are multiples of 1/8, so that sums and differences of them and of
    such margins are exact. The first anchors have pairs of one kind alone, or none.
    """
    generator = np.random.default_rng(seed)
    s = generator.integers(-8, 9, size=(anchors, references)) / 8
    shares = [0.2, positives, 0.8 - positives]
    kind = generator.choice(3, p=shares, size=s.shape)
    kind[0], kind[1], kind[2] = 1, 2, 0
    return s.astype("float32"), kind == 1, kind == 2


def each_anchor(similarities, positives, negatives):
    """The similarities of each anchor, and where its positives and negatives are."""
    for row in zip(similarities, positives, negatives, strict=True):
        yield row[0], np.flatnonzero(row[1]), np.flatnonzero(row[2])
