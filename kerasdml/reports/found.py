"""What queries find: their nearest neighbours, mistakes, confused classes."""

from typing import NamedTuple

import numpy as np
from keras import ops

from kerasdml.metrics.ranking import default_chunk_size, ranked_indices
from kerasdml.ops import similarities


class Mistakes(NamedTuple):
    """Queries whose nearest neighbour is of another class; see `mistakes`."""

    queries: np.ndarray
    right: np.ndarray
    wrong_scores: np.ndarray
    right_scores: np.ndarray


class Confusions(NamedTuple):
    """Pairs of classes, the most confused first; see `confusions`."""

    classes: np.ndarray
    found: np.ndarray
    counts: np.ndarray
    shares: np.ndarray


def nearest_neighbours(data, k, chunk_size=None):
    """Returns `(q, k)` the items of the gallery nearest to each query, as metrics rank.

    Args:
        data: `evaluated.Evaluated`.
        k: How many.
        chunk_size: Queries compared at a time; None: 32 MiB of similarities.
    """
    chunks = ranked_indices(
        data.queries.embeddings,
        data.gallery.embeddings,
        similarity=data.similarity,
        own=data.own,
        depth=k,
        chunk_size=chunk_size or default_chunk_size(len(data.gallery.codes)),
    )
    return np.concatenate([nearest for _, nearest in chunks])


def mistakes(data, first, chunk_size=None):
    """Finds the queries whose nearest neighbour is wrong, the worst first.

    The worst is nearest to the wrong one and farthest from the nearest of its own
    class: the difference of the two similarities orders them. Lone queries, which
    cannot be right, do not count.

    Args:
        data: `evaluated.Evaluated`.
        first: `(q,)` the nearest neighbour of each query.
        chunk_size: Queries compared at a time; None: 32 MiB of similarities.

    Returns:
        `Mistakes(queries, right, wrong_scores, right_scores)`, `(m,)` each: the query,
        the nearest of its class, and how similar the nearest and that one are.
    """
    queries, gallery = data.queries, data.gallery
    places = np.arange(len(gallery.codes))
    sizes = np.bincount(gallery.codes, minlength=len(data.names))
    lone = sizes[queries.codes] - data.own == 0
    wrong = np.flatnonzero((gallery.codes[first] != queries.codes) & ~lone)
    chunk_size = chunk_size or default_chunk_size(len(places))
    right, scores = [np.zeros(0, int)], [np.zeros((0, 2))]
    for start in range(0, len(wrong), chunk_size):
        rows = wrong[start : start + chunk_size]
        compared = ops.convert_to_numpy(
            similarities(queries.embeddings[rows], gallery.embeddings, data.similarity)
        )
        same = queries.codes[rows, None] == gallery.codes
        if data.own:
            same &= rows[:, None] != places
        right.append(np.where(same, compared, -np.inf).argmax(axis=1))
        pair = np.stack([first[rows], right[-1]], axis=1)
        scores.append(np.take_along_axis(compared, pair, axis=1))
    right, scores = np.concatenate(right), np.concatenate(scores)
    order = np.argsort(scores[:, 1] - scores[:, 0], kind="stable")
    return Mistakes(wrong[order], right[order], *scores[order].T)


def of_different_classes(mistakes, codes, found, count):
    """Returns the first mistakes between different pairs of classes, `Mistakes`.

    One wrong label, or two classes that are one, would else fill the whole picture.

    Args:
        mistakes: `Mistakes`.
        codes: `(q,)` classes of the queries.
        found: `(q,)` classes of their nearest neighbours.
        count: At most so many.
    """
    pairs = np.sort([codes[mistakes.queries], found[mistakes.queries]], axis=0)
    _, leading = np.unique(pairs.T, axis=0, return_index=True)
    leading = np.sort(leading)[:count]
    return Mistakes(*(values[leading] for values in mistakes))


def confusions(codes, found):
    """Counts how often the nearest neighbour is of another class, by both classes.

    Args:
        codes: `(q,)` classes of the queries, 0 … c - 1.
        found: `(q,)` classes of their nearest neighbours.

    Returns:
        `Confusions(classes, found, counts, shares)`, `(p,)` each: the class of the
        query, that of what it found, how many such queries there are, and their share
        of all queries of the class. The most first, then those of the largest share.
    """
    wrong = found != codes
    pairs = np.stack([codes[wrong], found[wrong]], axis=1)
    pairs, counts = np.unique(pairs, axis=0, return_counts=True)
    shares = counts / np.bincount(codes)[pairs[:, 0]]
    order = np.lexsort((-shares, -counts))
    return Confusions(*pairs[order].T, counts[order], shares[order])


def confusion_shares(codes, found, classes):
    """Computes which classes the queries of some classes find.

    Args:
        codes: `(q,)` classes of the queries, 0 … c - 1.
        found: `(q,)` classes of their nearest neighbours.
        classes: `(s,)` those to show.

    Returns:
        `(s, s + 1)` shares of a row's queries whose nearest neighbour is of a column's
        class; the last column is of all other classes.
    """
    place = np.full(max(codes.max(), found.max()) + 1, len(classes))
    place[classes] = np.arange(len(classes))
    counts = np.zeros((len(classes) + 1, len(classes) + 1))
    np.add.at(counts, (place[codes], place[found]), 1)
    return counts[:-1] / counts[:-1].sum(axis=1, keepdims=True)


def notable_classes(codes, confused, count):
    """Chooses classes to show: all if they are few, else the most confused ones.

    Args:
        codes: `(q,)` classes of the queries, 0 … c - 1.
        confused: `Confusions`.
        count: At most so many.

    Returns:
        Classes of queries: all in their order, or those of the most confused pairs,
        side by side, and then the largest.
    """
    sizes = np.bincount(codes)
    classes = np.flatnonzero(sizes)
    if len(classes) <= count:
        return classes
    pairs = np.stack([confused.classes, confused.found], axis=1).ravel()
    largest = classes[np.argsort(-sizes[classes], kind="stable")]
    chosen = dict.fromkeys([*pairs[: 2 * count], *largest[:count]])
    return np.array([code for code in chosen if code in set(classes)][:count])
