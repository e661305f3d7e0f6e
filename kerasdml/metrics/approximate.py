"""Ranked lists by approximate search, and how far they are from the exact ones."""

import numpy as np

from kerasdml.metrics.ranking import default_chunk_size, ranked_indices

# How an index of ScaNN calls the similarities that it can rank by.
SIMILARITIES = {
    "cosine": "cosine",
    "dot": "dot",
    "euclidean": "euclidean",
    "squared_euclidean": "euclidean",
}

# Queries at a time, of which an index searches as many at once as memory allows.
_CHUNK_SIZE = 4096

# Queries whose lists are compared with the exact ones.
_SAMPLE = 1000


class ApproximateEngine:
    """Ranks a gallery by an index of it.

    Args:
        index: What has `search(queries, k)`, as `index.Scann`; or "scann", which builds
            one of default sizes.
        gallery: `(r, d)` floats.
        similarity: "cosine", "dot", "euclidean" or "squared_euclidean".
        own: Whether query `i` is item `i` of the gallery and left out of its list.

    Raises:
        ImportError: If tensorflow or scann is missing.
        ValueError: If the index is not of this gallery.
    """

    def __init__(self, index, gallery, similarity, own):
        if isinstance(index, str):
            index = _scann().build(gallery, similarity=SIMILARITIES[similarity])
        _check_fits(index, len(gallery), SIMILARITIES[similarity])
        self.index = index
        self.gallery = gallery
        self.similarity = similarity
        self.own = own

    def ranked_relevance(
        self, queries, codes, gallery_codes, *, depth, chunk_size, advance
    ):
        """Yields `(rows, relevance)` as the exact engine does; ties in any order."""
        chunk_size = chunk_size or _CHUNK_SIZE
        for start in range(0, len(queries), chunk_size):
            rows = slice(start, min(start + chunk_size, len(queries)))
            nearest = self._nearest(queries[rows], np.r_[rows], depth)
            advance(len(nearest))
            yield rows, gallery_codes[nearest] == codes[rows][:, None]

    def recall(self, queries, ks):
        """Compares the lists of a sample of queries with the exact ones.

        Of 1,000 queries, evenly spread, or of all if there are fewer.

        Returns:
            A dict of floats, 0 … 1: for every k, `engine_recall_at_{k}`, the share of
            the first k items of the exact list that are among the first k here.
        """
        sample = np.linspace(0, len(queries) - 1, _SAMPLE).astype(int)
        sample, depth = np.unique(sample), max(ks)
        found = self._nearest(queries[sample], sample, depth)
        exact = self._exact(queries[sample], sample, depth)
        return {
            f"engine_recall_at_{k}": float(np.mean(_shares(found[:, :k], exact[:, :k])))
            for k in ks
        }

    def _nearest(self, queries, indices, depth):
        _, nearest = self.index.search(queries, depth + self.own)
        return _without(nearest, indices) if self.own else nearest

    def _exact(self, queries, indices, depth):
        lists = ranked_indices(
            queries,
            self.gallery,
            similarity=self.similarity,
            own=False,
            depth=depth + self.own,
            chunk_size=default_chunk_size(len(self.gallery)),
        )
        nearest = np.concatenate([nearest for _, nearest in lists])
        return _without(nearest, indices) if self.own else nearest


def _check_fits(index, size, similarity):
    if index.similarity != similarity:
        raise ValueError(
            f"The index must compare by {similarity!r}, as `similarity` says. "
            f"Received: an index with similarity={index.similarity!r}."
        )
    if not np.array_equal(index.ids, np.arange(size)):
        raise ValueError(
            f"The index must hold the gallery, {size} embeddings in its order, with "
            f"the default ids. Received: an index of {len(index.ids)}."
        )


def _without(nearest, itself):
    """Takes the query's own index out of its list, or else the last entry.

    By index, not by rank: a duplicate may well come before the query itself, and
    enough of them push it out of the list.
    """
    beyond = np.cumsum(nearest == itself[:, None], axis=1)[:, :-1] > 0
    return np.where(beyond, nearest[:, 1:], nearest[:, :-1])


def _shares(found, exact):
    pairs = zip(found, exact, strict=True)
    return [np.isin(e, f).mean() for f, e in pairs]


def _scann():
    try:
        from kerasdml.index import Scann
    except ImportError as error:
        raise ImportError(
            '`engine="scann"` needs the tensorflow and scann packages (Linux x86-64): '
            'pip install tensorflow scann. `engine="exact"` needs neither.'
        ) from error
    return Scann
