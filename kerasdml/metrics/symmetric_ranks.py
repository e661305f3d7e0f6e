"""Ranks of relevant items where the queries are the gallery: each product once."""

import collections
import concurrent.futures
import os

import numpy as np

# Items a side of a tile: 255 words of eight booleans, whose sums of bytes fit a byte.
SIDE = 2040
# Rows of a tile at a time, which stay in a core's cache while they are counted.
_GROUP = 128
# Pairs that may tie, compared at a time.
_PAIRS = 256


class SymmetricRanks:
    """Finds the ranks of relevant items, each item being a query to all others.

    Similarities come in square tiles, each of which serves the queries of its rows and
    those of its columns. What is nearer to a query than its relevant items is counted,
    tile by tile, while the next tile is multiplied; nothing is sorted. This suits
    classes of few items, of which a query has a count each.

    Args:
        embeddings: `(n, d)` float32, compared by inner products. Items of different
            classes must differ: a product may round equal columns differently.
        codes: `(n,)` integers, their classes.
        ties: "index", "optimistic" or "pessimistic", as in `metrics.retrieval`.
    """

    def __init__(self, embeddings, codes, ties):
        self.ties = ties
        partners = _partners(codes)
        counts = np.count_nonzero(partners >= 0, axis=1)
        # Tiles keep the items' order. Within one those with most partners come first,
        # so that the items with a k-th partner are the first of their tile.
        self.order = np.lexsort((-counts, np.arange(len(codes)) // SIDE))
        places = np.empty_like(self.order)
        places[self.order] = np.arange(len(codes))
        partners = partners[self.order]
        self.partners = np.where(partners >= 0, places[partners], -1)
        self.counts = counts[self.order]
        self.embeddings = embeddings[self.order]
        self.thresholds = _similarities(self.embeddings, self.partners)
        # Values above these are those that are at least the thresholds.
        self.below = np.nextafter(self.thresholds, np.float32(-np.inf))
        self.nearer = np.zeros(partners.shape, "int32")

    def __call__(self, advance):
        """Ranks the relevant items of every query.

        Args:
            advance: Function that is called with the number of queries of which as much
                work has just been done.

        Returns:
            `(n, most)` integers: in ascending order the ranks, from 0, of the items
            relevant to each query, n or more in place of those that it lacks.
        """
        size = len(self.counts)
        blocks = [range(a, min(a + SIDE, size)) for a in range(0, size, SIDE)]
        pairs = [(i, j) for n, i in enumerate(blocks) for j in blocks[n:]]
        # Products use all cores themselves; each worker holds a tile, 16 MiB.
        workers = min(max(1, os.cpu_count() // 2), 8)
        buffers = [np.empty(SIDE**2, "float32") for _ in range(workers + 1)]
        counting = collections.deque()
        with concurrent.futures.ThreadPoolExecutor(workers) as threads:
            for number, (rows, columns) in enumerate(pairs):
                if len(counting) == len(buffers):
                    self._add(counting.popleft().result())
                tile = self._tile(rows, columns, buffers[number % len(buffers)])
                counting.append(threads.submit(self._count, tile, rows, columns))
                done = [size * (number + x) // len(pairs) for x in (0, 1)]
                advance(done[1] - done[0])
            for counted in counting:
                self._add(counted.result())
        return self._ranks()

    def _add(self, counted):
        for queries, nearer in counted:
            self.nearer[queries] += nearer

    def _tile(self, rows, columns, buffer):
        """Returns similarities, -inf to relevant items and to those that fill up."""
        width = -(-len(columns) // 8) * 8
        tile = buffer[: len(rows) * width].reshape(len(rows), width)
        x, y = (self.embeddings[r.start : r.stop] for r in (rows, columns))
        np.matmul(x, y.T, out=tile[:, : len(columns)])
        tile[:, len(columns) :] = -np.inf
        queries, which = self._pairs(rows, columns)
        relevant = self.partners[rows.start + queries, which]
        tile[queries, relevant - columns.start] = -np.inf
        if rows == columns:
            np.fill_diagonal(tile, -np.inf)
        return tile

    def _pairs(self, rows, columns):
        """Returns which queries of `rows` have which partner among `columns`."""
        partners = self.partners[rows.start : rows.stop]
        return np.nonzero((partners >= columns.start) & (partners < columns.stop))

    def _count(self, tile, rows, columns):
        """Returns blocks of queries, and what is nearer than each relevant item."""
        own = slice(rows.start, rows.stop)
        found = _in_rows(tile, self._levels(rows, columns), self.counts[own])
        counted = [(own, self._with_ties(found, tile, rows, columns))]
        if rows != columns:
            own, tile = slice(columns.start, columns.stop), tile[:, : len(columns)]
            found = _in_columns(tile, self._levels(columns, rows), self.counts[own])
            counted.append((own, self._with_ties(found, tile.T, columns, rows)))
        return counted

    def _levels(self, rows, columns):
        """Returns above which values `columns` are nearer than each relevant item."""
        own = slice(rows.start, rows.stop)
        if self.ties == "optimistic":
            return self.thresholds[own]
        if self.ties == "pessimistic":
            return self.below[own]
        later = self.partners[own] >= columns.stop
        return np.where(later, self.below[own], self.thresholds[own])

    def _with_ties(self, counts, tile, rows, columns):
        """Adds what is as near as a relevant item of `columns`, and of lower index."""
        if self.ties != "index":
            return counts
        queries, which = self._pairs(rows, columns)
        for first in range(0, len(queries), _PAIRS):
            query, k = (x[first : first + _PAIRS] for x in (queries, which))
            near = tile[query, : len(columns)]
            tied = near == self.thresholds[rows.start + query, k][:, None]
            if tied.any():
                relevant = self.order[self.partners[rows.start + query, k]]
                tied &= self.order[columns.start : columns.stop] < relevant[:, None]
                counts[query, k] += np.count_nonzero(tied, axis=1).astype("int32")
        return counts

    def _ranks(self):
        nearer = np.where(self.partners >= 0, self.nearer, len(self.order))
        nearer.sort(axis=1)
        ranks = np.empty_like(nearer)
        ranks[self.order] = nearer + np.arange(nearer.shape[1])
        return ranks


def _partners(codes):
    """Returns the others of each item's class, `(n, most)`; -1 fills up rows."""
    order = np.argsort(codes, kind="stable")
    _, first, sizes = np.unique(codes[order], return_index=True, return_counts=True)
    first, sizes = np.repeat(first, sizes), np.repeat(sizes, sizes)
    steps = np.arange(1, sizes.max())
    turned = (np.arange(len(codes)) - first)[:, None] + steps
    others = order[first[:, None] + turned % sizes[:, None]]
    partners = np.empty_like(others)
    partners[order] = np.where(steps < sizes[:, None], others, -1)
    return partners


def _similarities(embeddings, partners):
    """Returns those of each item to its partners; infinity where it has none."""
    found = np.full(partners.shape, np.inf, "float32")
    step = max(1, 2**21 // embeddings.shape[1])
    queries, which = np.nonzero(partners >= 0)
    for first in range(0, len(queries), step):
        query, k = queries[first : first + step], which[first : first + step]
        pairs = embeddings[query], embeddings[partners[query, k]]
        found[query, k] = np.einsum("nd,nd->n", *pairs)
    return found


def _in_rows(tile, levels, counts):
    """Counts what is above the levels of each row, of which it has `counts`."""
    found = np.zeros(levels.shape, "int32")
    for first in range(0, len(tile), _GROUP):
        rows = slice(first, first + _GROUP)
        for k in range(counts[first]):
            above = tile[rows] > levels[rows, k, None]
            sums = np.add.reduce(above.view("uint64"), axis=1)
            found[rows, k] = sums.view("uint8").reshape(-1, 8).sum(axis=1)
    return found


def _in_columns(tile, levels, counts):
    """Counts what is above the levels of each column, of which it has `counts`."""
    levels = levels.T.copy()
    found = np.zeros(levels.shape, "int32")
    having = [np.count_nonzero(counts > k) for k in range(len(levels))]
    for first in range(0, len(tile), _GROUP):
        rows = tile[first : first + _GROUP]
        for k, own in enumerate(having):
            above = rows[:, :own] > levels[k, :own]
            found[k, :own] += np.add.reduce(above.view("uint8"), axis=0, dtype="uint8")
    return found.T.copy()
