"""Metrics of retrieval and of clustering, by name."""

import inspect

from kerasdml.metrics.clustering import clustering
from kerasdml.metrics.retrieval import RANKED, retrieval

_OPTIONS = inspect.signature(retrieval).parameters.keys()
CLUSTERED = ("nmi", "ami", "pairwise_f1", "rand", "adjusted_rand")


def evaluate(
    embeddings,
    labels,
    gallery=None,
    gallery_labels=None,
    *,
    metrics=("recall_at_k", "precision_at_k", "r_precision", "map_at_r"),
    ks=(1, 10),
    similarity="cosine",
    seed=0,
    repeats=1,
    **options,
):
    """Computes metrics of retrieval, by `metrics.retrieval`, and of clustering.

    `MetricModel.evaluate`, `callbacks.Retrieval` and `kerasdml evaluate` call it. What
    is not asked for costs nothing: queries are ranked only for metrics of retrieval,
    and clustered by k-means, which may take longer, only for metrics of clustering.
    Clustered are the `embeddings`, without the gallery.

    Args:
        embeddings: `(q, d)` queries.
        labels: `(q,)` their classes: integers of any size, or strings.
        gallery: `(r, d)` embeddings to search; None: the queries themselves.
        gallery_labels: `(r,)` classes of the gallery, of the same kind as `labels`.
        metrics: Names of metrics: those of `metrics.retrieval`, and "nmi", "ami",
            "pairwise_f1", "rand" and "adjusted_rand" of `metrics.cluster_agreement`.
        ks: Lengths of the lists for the metrics that end in `_at_k`.
        similarity: How embeddings compare, as in `ops.similarities`; "cosine" or
            "euclidean" for metrics of clustering.
        seed: Of the first k-means, a non-negative integer; each repeat adds 1.
        repeats: How often to cluster, at least 1. Metrics of clustering are the mean,
            and beside them is the standard deviation if it is more than 1, as
            `nmi_std`.
        **options: The other arguments of `metrics.retrieval`, such as `ties`, `lone`,
            `average`, `ignored`, `engine` and `chunk_size`.

    Returns:
        A dict of floats, in the order of `metrics`: `recall_at_{k}` for every k, and so
        on for all that end in `_at_k`; the others as they are called.

    Raises:
        ValueError: If a metric is unknown, or as `metrics.retrieval` and
            `metrics.clustering` do.
        TypeError: If an option is none of `metrics.retrieval`.

    Example:

    >>> metrics.evaluate(embeddings, labels, metrics=("recall_at_k", "nmi"), ks=(1,))
    """
    names = metric_names(metrics, ks)
    unknown = options.keys() - _OPTIONS
    if unknown:  # also where nothing is ranked
        raise TypeError(f"Arguments not recognized: {', '.join(sorted(unknown))}.")
    values = {}
    ranked = [name for name in metrics if name in RANKED]
    if ranked:
        values |= retrieval(
            embeddings,
            labels,
            gallery,
            gallery_labels,
            metrics=ranked,
            ks=ks,
            similarity=similarity,
            **options,
        )
    if len(ranked) < len(metrics):
        values |= clustering(
            embeddings, labels, seed=seed, repeats=repeats, similarity=similarity
        )
    names = [each for name in names for each in (name, f"{name}_std")]
    names += [name for name in values if name.startswith("engine_recall_at_")]
    return {name: values[name] for name in names if name in values}


def metric_names(metrics, ks):
    """Returns the names that `evaluate` gives the values of `metrics`.

    Args:
        metrics: Names as `evaluate` takes them.
        ks: Lengths of the lists.

    Returns:
        A list of strings, such as "recall_at_1".

    Raises:
        ValueError: If a metric is unknown.

    Example:

    >>> metric_names(["recall_at_k", "nmi"], ks=[1, 10])
    ['recall_at_1', 'recall_at_10', 'nmi']
    """
    known = (*RANKED, *CLUSTERED)
    if isinstance(metrics, str) or not metrics or not set(metrics) <= set(known):
        raise ValueError(
            f"`metrics` must be one or more of {', '.join(map(repr, known))}. "
            f"Received: metrics={metrics!r}."
        )
    names = []
    for name in metrics:
        names += [f"{name[:-1]}{k}" for k in ks] if name.endswith("_at_k") else [name]
    return names
