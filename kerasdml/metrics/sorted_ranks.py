"""Where relevant items come in long lists."""

import concurrent.futures
import os

import numpy as np

# Of so few relevant items a query, counting what is nearer is faster than sorting.
_FEW = 12


class SortedRanks:
    """Finds the ranks of relevant items among the similarities of a query.

    What is nearer than each is counted or, where they are many, found among sorted
    values; without the items' indices, and on all cores: for lists of hundreds or more
    many times faster than `top_k`. Items are looked at again only where a relevant and
    an irrelevant one tie.

    Args:
        gallery_codes: `(r,)` integers, classes of the gallery.
        ties: "index", "optimistic" or "pessimistic", as in `metrics.retrieval`.
        depth: Length of the lists.
    """

    def __init__(self, gallery_codes, ties, depth):
        self.by_code = np.argsort(gallery_codes, kind="stable")
        self.sorted_codes = gallery_codes[self.by_code]
        self.ties = ties
        self.depth = depth

    def __call__(self, similarities, codes):
        """Ranks the gallery for a chunk of queries.

        Args:
            similarities: `(rows, r)` floats; -inf leaves an item out.
            codes: `(rows,)` classes of the queries.

        Returns:
            `(rows, depth)` booleans, whether the item at that rank is relevant.
        """
        relevance = np.zeros((len(codes), self.depth), bool)

        def mark(rows):
            for row in rows:
                ranks = self._ranks(similarities[row], self._relevant(codes[row]))
                relevance[row, ranks[ranks < self.depth]] = True

        parts = np.array_split(np.arange(len(codes)), 4 * os.cpu_count())
        with concurrent.futures.ThreadPoolExecutor() as threads:
            list(threads.map(mark, parts))
        return relevance

    def _relevant(self, code):
        first = np.searchsorted(self.sorted_codes, code, side="left")
        last = np.searchsorted(self.sorted_codes, code, side="right")
        return self.by_code[first:last]

    def _ranks(self, similarities, relevant):
        """Returns the ranks of the relevant items of one query, from 0, ascending."""
        # Ascending distances, because `searchsorted` needs them so.
        distances = -similarities
        own = np.sort(distances[relevant])
        own = own[own < np.inf]
        if not own.size:
            return np.array([], int)
        count = _counted if len(own) <= _FEW else self._listed
        nearer, tied = count(distances, own)
        own_nearer = np.searchsorted(own, own, side="left")
        ranks = nearer + np.arange(len(own)) - own_nearer
        if self.ties == "optimistic":
            return ranks
        others = tied - (np.searchsorted(own, own, side="right") - own_nearer)
        others = np.maximum(others, 0)  # beyond the list nothing was counted
        if self.ties == "pessimistic":
            return ranks + others
        for distance in np.unique(own[others > 0]):
            equal = np.flatnonzero(distances == distance)
            here = own == distance
            ranks[here] = nearer[here] + np.flatnonzero(np.isin(equal, relevant))
        return ranks

    def _listed(self, distances, own):
        """Returns how many items are nearer than each, and how many as near.

        Of items beyond the list it gives its length, and not all that are as near.
        """
        listed = distances[distances <= own[-1]]
        if len(listed) > self.depth:
            listed = np.partition(listed, self.depth - 1)[: self.depth]
        listed.sort()
        nearer = np.searchsorted(listed, own, side="left")
        tied = np.searchsorted(listed, own, side="right") - nearer
        cut = own == listed[-1]
        if cut.any():  # some of those that tie may be beyond the list
            tied[cut] = np.count_nonzero(distances == listed[-1])
        return nearer, tied


def _counted(distances, own):
    """Returns how many items are nearer than each, and how many as near."""
    nearer = np.array([np.count_nonzero(distances < x) for x in own])
    return nearer, np.array([np.count_nonzero(distances <= x) for x in own]) - nearer
