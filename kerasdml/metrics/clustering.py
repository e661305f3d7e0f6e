"""How well clusters agree with classes."""

import numpy as np

from kerasdml.metrics.checks import check_embeddings, check_labels
from kerasdml.metrics.kmeans import kmeans


def clustering(
    embeddings,
    labels,
    clusters=None,
    seed=0,
    repeats=1,
    *,
    similarity="cosine",
    iterations=100,
):
    """Clusters embeddings by `metrics.kmeans` and compares the clusters with classes.

    k-means depends on its seed, by a few tenths of a percent in the literature's
    settings: a number to be published is the mean of several `repeats`.

    Args:
        embeddings: `(n, d)` examples.
        labels: `(n,)` their classes: integers of any size, or strings.
        clusters: How many clusters, 1 … n. None: as many as there are classes.
        seed: Of the first k-means, a non-negative integer; each repeat adds 1.
        repeats: How often to cluster, at least 1.
        similarity: "cosine" clusters the embeddings at length 1, "euclidean" as they
            are.
        iterations: The largest number of them in a k-means, at least 1.

    Returns:
        A dict: what `metrics.cluster_agreement` returns, each the mean over the
        repeats, and if there are several also the (population) standard deviation, as
        `nmi_std` and so on; and what it was computed with: `clusters`, an int, and
        `seeds`, a list of ints.

    Raises:
        ValueError: If shapes do not fit, an embedding is NaN or infinite, labels are
            floats or not one per embedding, a number is out of its range, or the
            similarity is another one.

    Example:

    >>> metrics.clustering(embedder.predict(images), labels, repeats=5)["nmi"]

    Source: NMI and F1 of k-means as in Oh Song et al., CVPR 2016,
    https://arxiv.org/abs/1511.06452.
    """
    if similarity not in ("cosine", "euclidean"):
        raise ValueError(
            "`similarity` must be 'cosine' or 'euclidean', which means are middles by. "
            f"Received: similarity={similarity!r}."
        )
    if seed < 0 or repeats < 1:
        raise ValueError(
            "`seed` must be at least 0 and `repeats` at least 1. "
            f"Received: seed={seed}, repeats={repeats}."
        )
    embeddings = check_embeddings("embeddings", embeddings)
    codes = _encode("labels", check_labels("labels", labels, len(embeddings)))
    if clusters is None:
        clusters = int(codes.max()) + 1
    if similarity == "cosine":
        lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
        embeddings = embeddings / np.where(lengths > 0, lengths, 1.0)
    seeds = [seed + i for i in range(repeats)]
    found = []
    for each in seeds:
        assigned = kmeans(embeddings, clusters, iterations=iterations, seed=each)
        found.append(cluster_agreement(codes, assigned))
    result = {name: float(np.mean([f[name] for f in found])) for name in found[0]}
    if repeats > 1:
        for name in found[0]:
            result[f"{name}_std"] = float(np.std([f[name] for f in found]))
    return {**result, "clusters": clusters, "seeds": seeds}


def cluster_agreement(labels, clusters):
    """Compares two labelings of the same examples, whatever their ids are.

        nmi = MI / mean(H)
        ami = (MI - E[MI]) / (mean(H) - E[MI])

    MI is their mutual information, mean(H) the arithmetic mean of their entropies, and
    E[MI] what MI is on average when the labels are permuted. The others count pairs of
    examples, of one class or not and in one cluster or not. All are symmetric.

    Of the table of classes and clusters only cells that hold examples exist. E[MI] is
    exact, a sum over pairs of a class *size* and a cluster *size*: n examples have at
    most `sqrt(2 n)` different sizes, so that it is at most `n * sqrt(2 n)` terms, at
    most n at a time, however many clusters there are.

    Args:
        labels: `(n,)` classes: integers of any size, or strings.
        clusters: `(n,)` the same.

    Returns:
        A dict of floats, each 1 where the two are the same but for their ids:

        - `nmi`: 0 … 1; many small clusters raise it, even at random.
        - `ami`: about 0 for random clusters, at most 1, may be negative.
        - `pairwise_f1`: 0 … 1, of pairs in one cluster being of one class; 0 where none
          is both, even where all are alone in both.
        - `rand`: 0 … 1, the share of pairs alike in both or different in both.
        - `adjusted_rand`: as `ami` to `nmi`.

    Raises:
        ValueError: If either is not `(n,)` with n at least 1, is of floats, or mixes
            integers and strings.

    Example:

    >>> metrics.cluster_agreement([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 2, 2])["nmi"]
    0.5158037429793888

    Source: Vinh et al., "Information Theoretic Measures for Clusterings Comparison",
    JMLR 2010; NMI and F1 as in Oh Song et al., CVPR 2016,
    https://arxiv.org/abs/1511.06452.
    """
    labels = check_labels("labels", labels)
    clusters = check_labels("clusters", clusters, len(labels))
    if not len(labels):
        raise ValueError("`labels` and `clusters` must not be empty.")
    rows, columns = _encode("labels", labels), _encode("clusters", clusters)
    a, b = np.bincount(rows), np.bincount(columns)
    cells, counts = np.unique(rows * len(b) + columns, return_counts=True)
    of_cell = a[cells // len(b)] * b[cells % len(b)]
    same = len(cells) == len(a) == len(b)
    return {
        **_information(a, b, counts, of_cell, same),
        **_pairs(a, b, counts),
    }


def _information(a, b, counts, of_cell, same):
    if same:  # 0 / 0 where all examples are together, and for AMI where all are alone
        return {"nmi": 1.0, "ami": 1.0}
    n = np.sum(a)
    information = max(0.0, np.sum(counts / n * np.log(counts / of_cell * n)))
    expected = _expected_information(a, b)
    entropy = (_entropy(a) + _entropy(b)) / 2
    return {
        "nmi": float(information / entropy),
        "ami": float((information - expected) / (entropy - expected)),
    }


def _entropy(sizes):
    share = sizes / np.sum(sizes)
    return -np.sum(share * np.log(share))


def _expected_information(a, b):
    """Averages the mutual information over all permutations of the labels.

    A class of size s and a cluster of size t then share k examples with hypergeometric
    odds, and add `k / n * log(n k / (s t))`.
    """
    n = int(np.sum(a))
    # In long double, since differences of these large numbers are exponents.
    steps = np.log(np.arange(1, n + 1, dtype=np.longdouble))
    factorial = np.concatenate([[0.0], np.cumsum(steps)])
    others, repeats_b = np.unique(b, return_counts=True)
    total = 0.0
    for s, repeats_a in zip(*np.unique(a, return_counts=True), strict=True):
        least = np.maximum(1, s + others - n)
        lengths = np.minimum(s, others) - least + 1
        starts = np.cumsum(lengths) - lengths
        t = np.repeat(others, lengths)
        k = np.arange(len(t)) - np.repeat(starts - least, lengths)
        odds = (
            (factorial[t] - factorial[k] - factorial[t - k])
            + (factorial[n - t] - factorial[s - k] - factorial[n - t - s + k])
            - (factorial[n] - factorial[s] - factorial[n - s])
        )
        terms = k / n * np.log(n * k / (s * t)) * np.exp(odds.astype(float))
        total += repeats_a * np.sum(np.repeat(repeats_b, lengths) * terms)
    return total


def _pairs(a, b, counts):
    # As Python's integers, which do not overflow when multiplied.
    of_class, in_cluster, both = (_count_pairs(sizes) for sizes in (a, b, counts))
    pairs = _count_pairs(np.sum(a))
    neither = pairs - of_class - in_cluster + both
    missed, wrong = of_class - both, in_cluster - both
    agreed = both * neither - missed * wrong
    scale = of_class * (pairs - in_cluster) + in_cluster * (pairs - of_class)
    same = not missed and not wrong  # 0 / 0 where all are together, or all alone
    return {
        "pairwise_f1": 2 * both / max(1, of_class + in_cluster),
        "rand": 1.0 if same else (both + neither) / pairs,
        "adjusted_rand": 1.0 if same else 2 * agreed / scale,
    }


def _count_pairs(sizes):
    return int(np.sum(sizes * (sizes - 1) // 2))


def _encode(name, labels):
    """Returns the labels as int64 codes, 0 … c-1."""
    try:
        return np.unique(labels, return_inverse=True)[1].astype(np.int64)
    except TypeError as error:
        raise ValueError(
            f"`{name}` must be of one kind, integers or strings. "
            f"Received a mixture: {error}."
        ) from error
