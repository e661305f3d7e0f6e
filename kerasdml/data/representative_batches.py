"""Batches in which a class shows the same representative for a while."""

import numpy as np

from kerasdml.data.hard_class_batches import HardClassBatches
from kerasdml.data.labels import check_labels
from kerasdml.data.sampler import balanced_batches


def representative_batches(
    labels,
    classes: int = 8,
    per_class: int = 4,
    lifetime: int | None = None,
    hard: str | None = None,
    hard_fraction: float = 1.0,
    seed: int = 0,
    on_small: str = "pad",
) -> "RepresentativeBatches":
    """Plans batches that begin with a representative of each of their classes.

    One random example of each class represents it for `lifetime` steps; then others are
    drawn. A batch has `classes` rows of representatives and then, in the same order of
    the classes, `per_class - 1` other examples of each, which are planned as those of
    `balanced_batches`: an epoch sees every example, but for one or two of a class where
    its representative changes within the epoch.

    With `hard` the classes of a batch are close to one another: `callbacks.
    AlternatingProjection` embeds the representatives before each epoch. Then a batch
    begins with a random class, and classes with close representatives join it; until
    the first call of `learn`, batches are balanced.

    Args:
        labels: `(n,)` integers, one class per example, in the order of the data set.
        classes: Different classes in a batch, at least 1.
        per_class: Examples of each class in a batch, its representative included, at
            least 2.
        lifetime: Steps for which representatives stay, at least 1; `None` takes an
            epoch.
        hard: `None`; "nearest", the classes nearest to the first; or "greedy", again
            and again the one nearest to any that is chosen.
        hard_fraction: Share of a batch's further classes that are close, rounded, 0 …
            1; the rest is random.
        seed: Non-negative integer. The batches of an epoch follow from (seed, epoch)
            and what was learned last.
        on_small: What to do with a class of fewer than `per_class` examples: `"pad"`
            repeats all but its representative, `"error"` refuses.

    Returns:
        A `RepresentativeBatches`.

    Raises:
        ValueError: As `balanced_batches` does, if a class has a single example, or an
            argument is out of its range.

    Example:

    >>> batches = kerasdml.data.representative_batches(labels, classes=8, per_class=4)
    >>> train = kerasdml.data.images(paths, labels, size=224, batches=batches)
    >>> miner = kerasdml.miners.Representatives()
    >>> optimizer = kerasdml.optimizers.Proximal("adam", lifetime=batches.lifetime)
    >>> model.compile(optimizer, loss=kerasdml.losses.Contrastive(miner=miner))

    Source: as of `optimizers.Proximal`.
    """
    balanced_batches(labels, classes, per_class, seed, on_small)
    labels = check_labels(labels)
    names, sizes = np.unique(labels, return_counts=True)
    alone = np.flatnonzero(sizes < 2)
    if alone.size:
        raise ValueError(
            "A representative needs another example of its class, but class "
            f"{names[alone[0]]} has 1 ({alone.size} of {len(names)} classes have). "
            "Keep the others with `data.at_least(labels, 2)`."
        )
    if per_class < 2 or (lifetime is not None and lifetime < 1):
        raise ValueError(
            "`per_class` must be at least 2 and `lifetime` at least 1. "
            f"Received: per_class={per_class}, lifetime={lifetime}."
        )
    if hard not in (None, "nearest", "greedy") or not 0 <= hard_fraction <= 1:
        raise ValueError(
            '`hard` must be None, "nearest" or "greedy", and `hard_fraction` 0 … 1. '
            f"Received: hard={hard!r}, hard_fraction={hard_fraction}."
        )
    return RepresentativeBatches(
        labels, classes, per_class, seed, lifetime, hard, hard_fraction
    )


class RepresentativeBatches(HardClassBatches):
    """The batches of an epoch, by its number and what was learned last.

    Args:
        labels: `(n,)` integers, two of each at least.
        classes: Different classes in a batch.
        per_class: Examples of each class in a batch.
        seed: Non-negative integer.
        lifetime: Steps for which representatives stay; `None`: an epoch.
        hard: `None`, "nearest" or "greedy".
        hard_fraction: Share of a batch's further classes that are close.

    Attributes:
        size: The number of examples, n.
        steps: Batches in an epoch, the same in each.
        batch_size: Examples in a batch, `classes * per_class`.
        lifetime: Steps for which representatives stay.
    """

    def __init__(
        self,
        labels,
        classes,
        per_class,
        seed,
        lifetime=None,
        hard=None,
        hard_fraction=1.0,
    ):
        # Planned is what stands beside the representatives, in number and of each.
        super().__init__(labels, classes, per_class - 1, seed)
        self._sizes = self._sizes - 1
        self._plan(-(-self._sizes // self.per_class))
        self.batch_size = classes * per_class
        self.lifetime = self.steps if lifetime is None else lifetime
        self.hard = hard
        self.hard_fraction = hard_fraction
        self.changes = hard is not None

    def __call__(self, epoch: int) -> np.ndarray:
        """Returns the batches of an epoch.

        Args:
            epoch: Number of the epoch, at least 0.

        Returns:
            `(steps, classes * per_class)` int64 positions in `labels`: first the
            representatives, one a class, then `per_class - 1` others of each class,
            side by side.
        """
        rng = np.random.Generator(np.random.Philox([self.seed, epoch]))
        visited, shuffled = self._visited(rng), self._shuffled(rng)
        others = self._examples(visited.ravel(), shuffled)
        others = others.reshape(self.steps, self.classes, self.per_class)
        first = self._instance(epoch)
        instances = (epoch * self.steps + np.arange(self.steps)) // self.lifetime
        drawn = [self._drawn(i) for i in range(first, instances[-1] + 1)]
        chosen = np.stack(drawn)[instances[:, None] - first, visited]
        # The last one of a class is planned nowhere: it stands in for the
        # representative.
        last = shuffled[self._starts + self._sizes][visited, None]
        others = np.where(others == chosen[..., None], last, others)
        return np.concatenate([chosen, others.reshape(self.steps, -1)], axis=1)

    def representatives(self, epoch: int) -> np.ndarray:
        """Returns the representatives with which an epoch begins.

        Args:
            epoch: Number of the epoch, at least 0.

        Returns:
            `(c,)` int64 positions in `labels`, by ascending label.
        """
        return self._drawn(self._instance(epoch))

    def learn(self, embeddings, labels=None):
        """Takes from representatives which classes are close, for the epochs to come.

        Args:
            embeddings: `(c, d)` of one example of each class.
            labels: `(c,)` their labels; `None`: ascending, as those of
                `representatives`.

        Raises:
            ValueError: If a class has no embedding, or an embedding another class.
        """
        super().learn(embeddings, self._names if labels is None else labels)

    def _instance(self, epoch):
        return epoch * self.steps // self.lifetime

    def _drawn(self, instance):
        """Returns `(c,)` representatives, the same for all steps of an instance."""
        rng = np.random.default_rng([self.seed, instance])
        members = np.argsort(self._class_of, kind="stable")
        return members[self._starts + rng.integers(self._sizes + 1)]

    def _choose(self, begin, points, squares, rng):
        """Returns `(b, classes)` classes, from the first ones of b batches."""
        rows = np.arange(len(begin))
        closed = np.zeros((len(begin), len(points)), bool)
        distances = np.full(closed.shape, np.inf, np.float32)
        chosen = np.empty((len(begin), self.classes), int)
        chosen[:, 0] = begin
        close = round(self.hard_fraction * (self.classes - 1))
        for i in range(1, self.classes):
            last = chosen[:, i - 1]
            closed[rows, last] = True
            if i == 1 or self.hard == "greedy":
                between = squares[last, None] + squares - 2.0 * points[last] @ points.T
                np.minimum(distances, between, out=distances)
            scores = distances if i <= close else rng.random(closed.shape, np.float32)
            chosen[:, i] = np.argmin(np.where(closed, np.inf, scores), axis=1)
        return chosen
