"""Batches of classes that the embedder confuses."""

import numpy as np

from kerasdml.data.labels import check_labels
from kerasdml.data.sampler import BalancedBatches, balanced_batches

# Scores held at a time, 64 MiB of float32.
_BLOCK = 2**24


def hard_class_batches(
    labels,
    classes: int = 60,
    per_class: int = 2,
    pool: int | None = None,
    seed: int = 0,
    on_small: str = "pad",
) -> "HardClassBatches":
    """Plans batches of `classes` classes that are close to one another.

    A batch begins with a random class. Then, again and again, of `pool` random classes
    the one that is most confused with those chosen joins them: which has the highest

        max over the chosen q of (mean_q · mean_c - similarity within q)

    where the similarity within a class is the mean inner product of two embeddings of
    it, or its mean's with itself where there is but one. Which classes are close
    changes while the embedder trains: `callbacks.HardClasses` embeds the training set
    once an epoch and calls `learn`. Until then batches are those of `balanced_batches`.

    As many batches as those make an epoch, but a class that is close to many is in more
    of them, and one that is close to none in few; every class begins as many batches.

    Args:
        labels: `(n,)` integers, one class per example, in the order of the data set.
        classes: Different classes in a batch, at least 1. Paper: 60 and more.
        per_class: Examples of each class in a batch, at least 1. Paper: 2.
        pool: Random classes among which the close ones are chosen, for each batch anew,
            at least `classes`; `None` takes all, which makes the hardest batches.
        seed: Non-negative integer. The batches of an epoch follow from (seed, epoch)
            and what was learned last.
        on_small: What to do with a class of fewer than `per_class` examples: `"pad"`
            repeats them, `"error"` refuses.

    Returns:
        A `HardClassBatches`.

    Raises:
        ValueError: As `balanced_batches` does, and if `pool` is not `classes` … the
            number of classes.

    Example:

    >>> batches = kerasdml.data.hard_class_batches(labels, classes=60, per_class=2)
    >>> train = kerasdml.data.images(paths, labels, size=224, batches=batches)
    >>> whole = kerasdml.data.images(paths, labels, size=224)
    >>> hard = kerasdml.callbacks.HardClasses(batches, whole)
    >>> model.fit(train, epochs=20, callbacks=[hard])

    Source: the hard negative class mining of Sohn, "Improved Deep Metric Learning with
    Multi-class N-pair Loss Objective", NIPS 2016. How much a class violates is a
    reconstruction; and the paper embeds one or two examples a class for it, not all.
    """
    balanced_batches(labels, classes, per_class, seed, on_small)
    labels = check_labels(labels)
    count = len(np.unique(labels))
    if pool is not None and not classes <= pool <= count:
        raise ValueError(
            "`pool` must be at least `classes`, and no more than there are. "
            f"Received: pool={pool}, classes={classes}, of {count}."
        )
    return HardClassBatches(labels, classes, per_class, seed, pool)


class HardClassBatches(BalancedBatches):
    """The batches of an epoch, by its number and what was learned last.

    Args:
        labels: `(n,)` integers.
        classes: Different classes in a batch.
        per_class: Examples of each class in a batch.
        seed: Non-negative integer.
        pool: Classes to choose among; `None`: all.

    Attributes:
        size: The number of examples, n.
        steps: Batches in an epoch, the same in each.
        batch_size: Examples in a batch, `classes * per_class`.
    """

    # Tells `data.images` to ask for an epoch when it begins, and no earlier.
    changes = True

    def __init__(self, labels, classes, per_class, seed, pool=None):
        super().__init__(labels, classes, per_class, seed)
        self.pool = pool
        self._names = np.unique(labels)
        self._learned = None

    def learn(self, embeddings, labels):
        """Takes from embeddings which classes are close, for the epochs to come.

        Args:
            embeddings: `(m, d)` of examples of all classes: the training set, or a few
                of each class.
            labels: `(m,)` their labels.

        Raises:
            ValueError: If a class has no embedding, or an embedding another class.
        """
        labels = np.asarray(labels)
        if not np.array_equal(np.unique(labels), self._names):
            raise ValueError(
                "`labels` must be those of the batches, each class at least once. "
                f"Received {len(np.unique(labels))} classes for {len(self._names)}."
            )
        order = np.argsort(labels, kind="stable")
        embeddings = np.asarray(embeddings, "float32")[order]
        _, starts, counts = np.unique(
            labels[order], return_index=True, return_counts=True
        )
        sums = np.add.reduceat(embeddings, starts, axis=0)
        squares = np.add.reduceat(np.sum(embeddings**2, axis=1), starts)
        means = sums / counts[:, None]
        # The mean over pairs of two, from the sum over all pairs.
        within = (np.sum(sums**2, axis=1) - squares) / np.maximum(
            counts * (counts - 1), 1
        )
        alone = np.sum(means**2, axis=1)
        self._learned = means, np.where(counts > 1, within, alone)

    def _visited(self, rng):
        if self._learned is None:
            return super()._visited(rng)
        # The first of equals is chosen: in a random order of the classes, a random one.
        count = len(self._names)
        order = rng.permutation(count)
        means, within = (x[order] for x in self._learned)
        begin = np.resize(rng.permutation(count), self.steps)
        blocks = np.array_split(begin, -(-self.steps * count // _BLOCK))
        chosen = [self._choose(block, means, within, rng) for block in blocks]
        return order[np.concatenate(chosen)]

    def _choose(self, begin, means, within, rng):
        """Returns `(b, classes)` classes, from the first ones of b batches."""
        count, rows = len(means), np.arange(len(begin))
        closed = np.zeros((len(begin), count), bool)
        if self.pool is not None:
            outside = rng.random(closed.shape, np.float32).argsort(axis=1)[
                :, self.pool :
            ]
            np.put_along_axis(closed, outside, True, axis=1)
        chosen = np.empty((len(begin), self.classes), int)
        chosen[:, 0] = begin
        scores = np.full(closed.shape, -np.inf, np.float32)
        for i in range(1, self.classes):
            last = chosen[:, i - 1]
            closed[rows, last] = True
            confused = means[last] @ means.T - within[last, None]
            np.maximum(scores, confused, out=scores)
            chosen[:, i] = np.argmax(np.where(closed, -np.inf, scores), axis=1)
        return chosen
