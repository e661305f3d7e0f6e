"""Settings of an approximate search, chosen by what they find and how long they take.

Time is taken from a clock that runs on evenly whatever the date is set to.
"""

import time

import numpy as np
import tensorflow as tf

from kerasdml.index.items import finite_rows, prepared

# Stored embeddings that are the queries where none are given.
_SAMPLE = 1000
_REORDER = (20, 50, 100, 200, 500, 1000)
# Leaves are tried in steps of a fifth.
_STEP = 1.2


def tuned(index, target_recall, queries, k):
    """The report of `Scann.tune`."""
    if index._changed():
        raise ValueError("The index has changes. Call `compact()` before `tune`.")
    if not 0 < target_recall <= 1:
        raise ValueError(
            "`target_recall` must be more than 0 and at most 1. "
            f"Received: {target_recall}."
        )
    held_out = queries is not None
    k = index._check_k(k if held_out else k + 1) - (not held_out)
    queries, itself = _queries(index, queries)
    measure = _Measure(index, queries, itself, k)
    settings = _enough(index, measure, target_recall) if index.leaves else [(0, 0)]
    timed = [
        {**measure(*setting), "queries_per_second": measure.speed(*setting)}
        for setting in settings
    ]
    fastest = max(timed, key=lambda found: found["queries_per_second"])
    return {
        "target_recall": float(target_recall),
        "k": k,
        "queries": len(queries),
        "held_out": held_out,
        **fastest,
        "measured": timed,
    }


def _queries(index, queries):
    """`(queries, rows)`: and the row that each is itself, or None."""
    if queries is not None:
        queries = finite_rows(queries, "queries")
        index._check_dim(queries.shape)
        return prepared(queries, index.similarity), None
    rows = np.unique(np.linspace(0, index.size - 1, _SAMPLE).astype("int32"))
    return index._vectors(rows), rows


def _enough(index, measure, target):
    """For each `reorder` the fewest leaves that find enough."""
    steps = np.arange(np.log(index.leaves) / np.log(_STEP) + 2)
    leaves = np.unique(np.minimum(np.ceil(_STEP**steps), index.leaves).astype(int))
    enough, most = [], 0.0
    for reorder in _REORDER:
        # More candidates need fewer leaves, so the search goes on from there.
        low, high = 0, len(leaves) - 1
        found = measure(int(leaves[high]), reorder)
        most = max(most, found["recall"])
        if not _finds(found, target):
            continue
        while low < high:
            middle = (low + high) // 2
            if _finds(measure(int(leaves[middle]), reorder), target):
                high = middle
            else:
                low = middle + 1
        leaves = leaves[: high + 1]
        enough.append((int(leaves[high]), reorder))
    if not enough:
        raise ValueError(
            f"No search finds the share {target} of the neighbours; the best finds "
            f"{most:.4f}. Ask for less, or use `index.Exact`."
        )
    return enough


def _finds(found, target):
    """Whether other queries, too, find enough, as far as these can tell."""
    return found["recall"] - 2 * found["standard_error"] >= target


class _Measure:
    """What searches with some settings find of the true neighbours."""

    def __init__(self, index, queries, itself, k):
        self.index = index
        self.queries = queries
        self.itself = itself
        self.depth = k + (itself is not None)
        everything = np.arange(index.size)
        at_once = 256
        truth = [
            index._nearest_among(queries[i : i + at_once], self.depth, everything)[1]
            for i in range(0, len(queries), at_once)
        ]
        self.truth = self._others(np.concatenate(truth))

    def __call__(self, leaves_to_search, reorder):
        found = self._others(self._search(leaves_to_search, reorder).numpy())
        shares = [np.isin(t, f).mean() for t, f in zip(self.truth, found, strict=True)]
        return {
            "leaves_to_search": leaves_to_search,
            "reorder": reorder,
            "recall": float(np.mean(shares)),
            "standard_error": float(np.std(shares) / len(shares) ** 0.5),
        }

    def speed(self, leaves_to_search, reorder):
        """Queries a second, the median of five times."""
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            self._search(leaves_to_search, reorder).numpy()
            seconds.append(time.perf_counter() - start)
        return round(len(self.queries) / float(np.median(seconds)), 1)

    def _search(self, leaves_to_search, reorder):
        queries = tf.convert_to_tensor(self.queries)
        return self.index._found(queries, self.depth, leaves_to_search, reorder)[0]

    def _others(self, found):
        """Each list without the query itself, or else without its last entry."""
        if self.itself is None:
            return found
        beyond = np.cumsum(found == self.itself[:, None], axis=1)[:, :-1] > 0
        return np.where(beyond, found[:, 1:], found[:, :-1])
