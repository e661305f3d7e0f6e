"""Batches of pairs: alike, different, and of a picture with itself."""

import numpy as np

from kerasdml.data.labels import check_labels


def pair_batches(
    labels, pairs: int = 64, self_pairs: bool = True, seed: int = 0
) -> "PairBatches":
    """Plans batches of `pairs` pairs, half of them of one class, for lifted structure.

    Every epoch sees each pair of two examples of one class, each example paired with
    itself, of which augmentation makes two views, and as many pairs of different
    classes: for each example some, drawn anew. All are shuffled. These are the batches
    of Oh Song et al., CVPR 2016, but that the authors draw the pairs of different
    classes, and shuffle, once for all. (Their batch is 64 pairs.)

    Pairs grow with the square of a class: a hundred classes of 60 make 183,000, and
    twice as many with those of different classes.

    Args:
        labels: `(n,)` integers, one class per example, in the order of the data set.
        pairs: Pairs in a batch, at least 1. The last batch is filled from the first.
        self_pairs: Whether each example is also paired with itself.
        seed: Non-negative integer. The batches of an epoch follow from (seed, epoch).

    Returns:
        A `PairBatches`.

    Raises:
        ValueError: If the labels are not `(n,)` integers of at least two classes, if
            none is there twice and `self_pairs` is false, or if a number is too low.

    Example:

    >>> batches = kerasdml.data.pair_batches([0, 0, 1, 1, 2], pairs=4)
    >>> batches.steps, batches.batch_size, batches(epoch=0).shape
    (4, 8, (4, 8))
    """
    labels = check_labels(labels)
    if pairs < 1 or seed < 0:
        raise ValueError(
            "`pairs` must be at least 1, `seed` at least 0. "
            f"Received: pairs={pairs}, seed={seed}."
        )
    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) < 2 or not self_pairs and counts.max() < 2:
        raise ValueError(
            "`labels` must have at least two classes, for pairs of different ones, and "
            "a class of at least two examples where there are no self-pairs. "
            f"Received: {len(counts)} classes of at most {counts.max()}."
        )
    return PairBatches(labels, pairs, self_pairs, seed)


class PairBatches:
    """The pairs of any epoch, by its number; made by `pair_batches`.

    Args:
        labels: `(n,)` integers.
        pairs: Pairs in a batch.
        self_pairs: Whether each example is also paired with itself.
        seed: Non-negative integer.

    Attributes:
        size: The number of examples, n.
        steps: Batches in an epoch, the same in each.
        batch_size: Examples in a batch, `2 * pairs`.
    """

    def __init__(self, labels: np.ndarray, pairs: int, self_pairs: bool, seed: int):
        self.pairs = pairs
        self.seed = seed
        self.size = len(labels)
        self.batch_size = 2 * pairs
        _, self._class_of, sizes = np.unique(
            labels, return_inverse=True, return_counts=True
        )
        self._sizes = sizes
        self._starts = np.cumsum(sizes) - sizes
        self._by_class = np.argsort(self._class_of, kind="stable")
        self._alike = self._by_class[
            np.concatenate(
                [
                    start + np.stack(np.triu_indices(size, 0 if self_pairs else 1))
                    for start, size in zip(self._starts, sizes, strict=True)
                ],
                axis=1,
            )
        ]
        self._others = -(-self._alike.shape[1] // self.size)
        total = self._alike.shape[1] + self._others * self.size
        self.steps = -(-total // pairs)

    def __call__(self, epoch: int) -> np.ndarray:
        """Returns the batches of an epoch.

        Args:
            epoch: Number of the epoch, at least 0.

        Returns:
            `(steps, 2 * pairs)` int64 positions in `labels`: the first examples of all
            pairs, then the second ones in the same order.
        """
        rng = np.random.Generator(np.random.Philox([self.seed, epoch]))
        both = np.concatenate([self._alike, self._different(rng)], axis=1)
        order = rng.permutation(both.shape[1])
        chosen = both[:, np.resize(order, self.steps * self.pairs)]
        by_step = chosen.reshape(2, self.steps, self.pairs)
        return by_step.swapaxes(0, 1).reshape(self.steps, self.batch_size)

    def _different(self, rng):
        """Each example with some of other classes, `(2, n * others)`."""
        first = np.repeat(np.arange(self.size), self._others)
        start = self._starts[self._class_of[first]]
        own = self._sizes[self._class_of[first]]
        # Class after class, the others are all but one stretch.
        place = rng.integers(self.size - own)
        return np.stack([first, self._by_class[place + own * (place >= start)]])
