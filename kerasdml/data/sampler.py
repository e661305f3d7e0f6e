"""Class-balanced batches: P classes of K examples each."""

import numpy as np

from kerasdml.data.labels import check_labels


def balanced_batches(
    labels,
    classes: int = 32,
    per_class: int = 4,
    seed: int = 0,
    on_small: str = "pad",
) -> "BalancedBatches":
    """Plans batches of `classes` different classes with `per_class` examples each.

    Every epoch cuts each shuffled class into chunks of `per_class` and sees every
    chunk, hence every example, at least once. What is seen more often, and why:

    - The last chunk of a class that `per_class` does not divide is filled up from the
      front of that class's shuffled order; a class with fewer than `per_class` examples
      repeats them within its chunk.
    - The last batch is filled up with second visits to classes seen already.
    - A class with more chunks than there would be batches is in every batch, and there
      are as many batches as it has chunks. The places beside it go to further rounds
      through the other classes, those with the fewest chunks first. Where one class is
      far larger than the rest, give it fewer examples, or several labels.

    A second visit starts only when the first round through a class is over, and goes on
    where that stopped, so within one class visits differ by at most one.

    Args:
        labels: `(n,)` integers, one class per example, in the order of the data set.
        classes: Different classes in a batch (P), at least 1.
        per_class: Examples of each class in a batch (K), at least 1.
        seed: Non-negative integer. The batches of an epoch follow from (seed, epoch).
        on_small: What to do with a class of fewer than `per_class` examples: `"pad"`
            repeats them, `"error"` refuses.

    Returns:
        A `BalancedBatches`.

    Raises:
        ValueError: If the labels are not `(n,)` integers, if there are fewer of them
            than `classes`, or, with `on_small="error"`, if a class is too small.

    Example:

    >>> batches = kerasdml.data.balanced_batches([0, 0, 1, 1, 2, 2], 2, per_class=2)
    >>> batches.steps, batches.batch_size, batches(epoch=0).shape
    (2, 4, (2, 4))
    """
    labels = check_labels(labels)
    names, sizes = np.unique(labels, return_counts=True)
    if classes < 1 or per_class < 1 or seed < 0:
        raise ValueError(
            "`classes` and `per_class` must be at least 1, `seed` at least 0. "
            f"Received: classes={classes}, per_class={per_class}, seed={seed}."
        )
    if on_small not in ("pad", "error"):
        raise ValueError(
            f'`on_small` must be "pad" or "error". Received: on_small={on_small!r}.'
        )
    if len(names) < classes:
        raise ValueError(
            f"`classes={classes}` needs at least that many different labels. "
            f"Received: {len(names)}."
        )
    small = np.flatnonzero(sizes < per_class)
    if on_small == "error" and small.size:
        raise ValueError(
            f"`per_class={per_class}` needs at least that many examples of every "
            f"class, but class {names[small[0]]} has {sizes[small[0]]} (and so on: "
            f"{small.size} of {len(names)} classes are too small). "
            f"Keep the others with `data.at_least(labels, {per_class})`."
        )
    return BalancedBatches(labels, classes, per_class, seed)


class BalancedBatches:
    """The batches of any epoch, by its number; made by `balanced_batches`.

    It has no state: `batches(3)` is the same whatever was asked before, so training can
    resume at any epoch and a look at the data costs nothing.

    Args:
        labels: `(n,)` integers.
        classes: Different classes in a batch.
        per_class: Examples of each class in a batch.
        seed: Non-negative integer.

    Attributes:
        size: The number of examples, n.
        steps: Batches in an epoch, the same in each.
        batch_size: Examples in a batch, `classes * per_class`.
    """

    def __init__(self, labels: np.ndarray, classes: int, per_class: int, seed: int):
        self.classes = classes
        self.per_class = per_class
        self.seed = seed
        self.size = len(labels)
        self.batch_size = classes * per_class
        _, self._class_of = np.unique(labels, return_inverse=True)
        self._sizes = np.bincount(self._class_of)
        self._starts = np.cumsum(self._sizes) - self._sizes
        self._plan(-(-self._sizes // per_class))

    def __call__(self, epoch: int) -> np.ndarray:
        """Returns the batches of an epoch.

        Args:
            epoch: Number of the epoch, at least 0.

        Returns:
            `(steps, classes * per_class)` int64 positions in `labels`; the `per_class`
            examples of one class lie side by side.
        """
        rng = np.random.Generator(np.random.Philox([self.seed, epoch]))
        examples = self._examples(self._visited(rng).ravel(), self._shuffled(rng))
        return examples.reshape(self.steps, self.batch_size)

    def _plan(self, chunks):
        """Sets how often an epoch at least visits each class."""
        self._chunks = chunks
        self.steps = int(max(-(-chunks.sum() // self.classes), chunks.max()))

    def _visited(self, rng):
        """The classes of each batch, by number: `(steps, classes)`."""
        return _schedule(self._chunks, self.steps, self.classes, rng)

    def _shuffled(self, rng):
        """All positions, class after class, each class in random order."""
        # A float32 below 1 added to a float64 integer stays below the next integer.
        return np.argsort(self._class_of + rng.random(self.size, np.float32))

    def _examples(self, visited, shuffled):
        """The examples `(v, K)` of class visits `(v,)` that follow each other in time.

        The i-th visit to a class takes the i-th chunk of its shuffled examples, going
        round again after the last.
        """
        # Unique keys sort several times faster than a stable sort of the classes.
        by_class = np.argsort(visited * visited.size + np.arange(visited.size))
        counts = np.bincount(visited, minlength=len(self._sizes))
        visit = np.empty_like(visited)
        visit[by_class] = np.arange(visited.size) - np.repeat(
            np.cumsum(counts) - counts, counts
        )
        member = visit[:, None] * self.per_class + np.arange(self.per_class)
        member %= self._sizes[visited, None]
        return shuffled[self._starts[visited, None] + member]


def _schedule(chunks, steps, width, rng):
    """Which classes meet in which batch: `(steps, width)`, different along a row.

    Class c appears at least `chunks[c]` times; `steps` must allow that.
    """
    visits = _visits(chunks, steps * width, rng)
    last = _last_batch(visits, chunks, steps, width, rng)
    visits[last] -= 1
    # Dealt out class by class, a class meets no row twice, having at most as many
    # visits as there are rows; but neighbours in the deal meet again and again.
    order = rng.permutation(len(visits))
    dealt = np.repeat(order, visits[order]).reshape(width, steps - 1).T
    return np.concatenate([_mix(rng.permutation(dealt), rng), last[None]])


def _visits(chunks, places, rng):
    """How often each class is visited: `chunks`, the lowest raised to fill `places`."""
    # Raising all below a level L gives a sum of max_j(j L + what the others have),
    # where j counts the classes raised, smallest first; so the highest that fits is:
    others = chunks.sum() - np.cumsum(np.sort(chunks))
    level = np.min((places - others) // np.arange(1, len(chunks) + 1))
    visits = np.maximum(chunks, level)
    lowest = np.flatnonzero(chunks <= level)
    visits[rng.choice(lowest, places - visits.sum(), replace=False)] += 1
    return visits


def _last_batch(visits, chunks, steps, width, rng):
    """The classes of the last batch, those visited again first among them.

    A class that is in every batch has to be in this one too.
    """
    urgency = 2.0 * (visits == steps) + (visits > chunks) + rng.random(len(visits))
    return np.argpartition(-urgency, width - 1)[:width]


def _mix(rows, rng):
    """Shuffles entries between rows, keeping every row free of repeats.

    Rows trade in random pairs: what both have stays, the rest is dealt out anew. After
    log2(rows) rounds an entry can have come from any row. ("Curveball" trades: Strona
    et al., "A fast and unbiased procedure to randomize ecological binary matrices with
    fixed row and column totals", Nature Communications 2014.)
    """
    width = rows.shape[1]
    for _ in range(len(rows).bit_length()):
        pairs = rng.permutation(len(rows))[: len(rows) // 2 * 2].reshape(-1, 2)
        both = np.sort(rows[pairs].reshape(len(pairs), 2 * width))
        # Random 30-bit keys above the class number; of a class that both rows have, one
        # copy sorts before all the others and one after.
        keys = rng.integers(2**32, size=both.shape, dtype=np.uint32).astype(int) >> 2
        shared = both[:, :-1] == both[:, 1:]
        keys[:, :-1][shared] = -1
        keys[:, 1:][shared] = 2**30
        dealt = np.sort(keys << 32 | both) & 0xFFFFFFFF
        rows[pairs] = dealt.reshape(len(pairs), 2, width)
    return rows
