"""Scores of the pairs of a set of embeddings."""

from typing import NamedTuple

import numpy as np
from keras import ops

from kerasdml.metrics.checks import check_embeddings, check_labels
from kerasdml.metrics.ranking import default_chunk_size
from kerasdml.ops import check_similarity, exp_at_origin, normalize, similarities


class PairScores(NamedTuple):
    """Scores of pairs, and which are of one class; see `pair_scores`."""

    scores: np.ndarray
    same: np.ndarray
    prior: float
    exact: bool


def pair_scores(
    embeddings,
    labels,
    *,
    similarity="cosine",
    max_pairs=2**22,
    seed=0,
    chunk_size=None,
):
    """Compares the embeddings of a set with one another, each pair once.

    That is all `n * (n - 1) / 2` pairs if they are at most `max_pairs`, in chunks.
    Otherwise it is a sample without repeats: of the same pairs all, or else half of
    `max_pairs`; the rest are different pairs (a few less, where some are drawn twice).
    The rates of `metrics.verification` stay estimates of those of all pairs, since
    each is a rate within one of the two kinds; its accuracy, and whatever else depends
    on how many pairs are same, does not, which is what `prior` is for in
    `metrics.calibrate`.

    Args:
        embeddings: `(n, d)`.
        labels: `(n,)` their classes: integers of any size, or strings.
        similarity: How embeddings compare, one of `ops.SIMILARITIES`. Of
            "signal_to_noise" the earlier of a pair is the query.
        max_pairs: The largest number of pairs, at least 2.
        seed: Of the sample, a non-negative integer.
        chunk_size: Embeddings compared with all others at a time, or pairs of a sample,
            >= 1. None: as many as make 32 MiB.

    Returns:
        `PairScores(scores, same, prior, exact)`: `(p,)` float32 similarities, `(p,)`
        booleans, the share of same pairs among all pairs, and whether these are all.
        They are ordered by the earlier of a pair, then by the later.

    Raises:
        ValueError: If shapes do not fit, an embedding is NaN or infinite, there are
            fewer than two, or an option is out of its range.

    Example:

    >>> pairs = metrics.pair_scores(embedder.predict(images), labels)
    >>> metrics.verification(pairs.scores, pairs.same, folds=None)
    """
    check_similarity(similarity)
    embeddings = check_embeddings("embeddings", embeddings)
    labels = check_labels("labels", labels, len(embeddings))
    n = len(embeddings)
    if n < 2 or max_pairs < 2:
        raise ValueError(
            "There must be at least two embeddings, and `max_pairs` at least 2. "
            f"Received: {n} embeddings, max_pairs={max_pairs}."
        )
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(
            f"`chunk_size` must be at least 1. Received: chunk_size={chunk_size}."
        )
    _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    exact = n * (n - 1) // 2 <= max_pairs
    if exact:
        first, second = np.triu_indices(n, k=1)
        scores = _scores_of_all(embeddings, similarity, chunk_size)
    else:
        first, second = _sample(codes, sizes, max_pairs, np.random.default_rng(seed))
        scores = _scores_of_pairs(embeddings, first, second, similarity, chunk_size)
    prior = float(np.sum(sizes * (sizes - 1)) / (n * (n - 1)))
    return PairScores(scores, codes[first] == codes[second], prior, exact)


def _scores_of_all(embeddings, similarity, chunk_size):
    n, scores = len(embeddings), []
    chunk_size = chunk_size or default_chunk_size(n)
    for start in range(0, n, chunk_size):
        rows = embeddings[start : start + chunk_size]
        found = ops.convert_to_numpy(similarities(rows, embeddings, similarity))
        scores.append(found[np.triu(np.ones(found.shape, bool), k=start + 1)])
    return np.concatenate(scores)


def _scores_of_pairs(embeddings, first, second, similarity, chunk_size):
    if similarity == "cosine":
        # Once each, not once a pair.
        embeddings = ops.convert_to_numpy(normalize(ops.convert_to_tensor(embeddings)))
        similarity = "dot"
    scores = []
    chunk_size = chunk_size or default_chunk_size(embeddings.shape[1])
    for start in range(0, len(first), chunk_size):
        ends = (embeddings[i[start : start + chunk_size]] for i in (first, second))
        found = _row_by_row(*map(ops.convert_to_tensor, ends), similarity)
        scores.append(ops.convert_to_numpy(found))
    return np.concatenate(scores)


def _row_by_row(queries, references, similarity):
    """Returns `(n,)`, what `ops.similarities` of both has on its diagonal."""
    if similarity == "dot":
        return ops.sum(queries * references, axis=1)
    if similarity == "hyperbolic":
        queries, references = exp_at_origin(queries), exp_at_origin(references)
    differences = queries - references
    if similarity == "manhattan":
        return -ops.sum(ops.abs(differences), axis=1)
    if similarity == "signal_to_noise":
        signal = ops.var(queries, axis=1)
        return -ops.var(differences, axis=1) / ops.where(signal > 0.0, signal, 1.0)
    squares = ops.sum(differences**2, axis=1)
    if similarity == "squared_euclidean":
        return -squares
    if similarity == "hyperbolic":
        inside = [1.0 - ops.sum(x**2, axis=1) for x in (queries, references)]
        return -2.0 * ops.arcsinh(ops.sqrt(squares / (inside[0] * inside[1])))
    return -ops.sqrt(squares)


def _sample(codes, sizes, max_pairs, rng):
    """Returns the earlier and the later of each pair drawn, in order."""
    # Places in the order of classes, so that a class is a range of them.
    n = len(codes)
    order = np.argsort(codes, kind="stable")
    size = sizes[codes[order]]
    start = (np.cumsum(sizes) - sizes)[codes[order]]

    def numbers(place, partner):
        ends = np.sort([order[place], order[partner]], axis=0)
        return np.unique(ends[0] * n + ends[1])

    place, partner = _draw(size - 1, max_pairs // 2, rng)
    partner += start[place]
    same = numbers(place, partner + (partner >= place))
    place, partner = _draw(n - size, max_pairs - len(same), rng)
    different = numbers(place, partner + size[place] * (partner >= start[place]))
    return np.divmod(np.sort(np.concatenate([same, different])), n)


def _draw(partners, count, rng):
    """Draws `count` of the pairs, or takes all, each once from either end.

    Args:
        partners: `(n,)` how many there are to pair with, of each place.

    Returns:
        Places, and of each one partner: 0 … partners - 1.
    """
    ends = np.cumsum(partners)
    total = int(ends[-1])
    all_of_them = total <= 2 * count
    drawn = np.arange(total) if all_of_them else rng.integers(total, size=count)
    place = np.searchsorted(ends, drawn, side="right")
    return place, drawn - (ends - partners)[place]
