"""Writes what there is to see of a set of embeddings."""

import dataclasses
import pathlib

import numpy as np

from kerasdml.metrics.checks import (
    check_embeddings,
    check_labels,
    check_same_size,
    queries_are_gallery,
)
from kerasdml.ops import check_similarity
from kerasdml.pictures.names import class_names_of
from kerasdml.reports import found, maps, sections
from kerasdml.reports.evaluated import Evaluated, Examples
from kerasdml.reports.grids import are_paths
from kerasdml.reports.page import page, pictures_of

# All that there may be: those of an earlier report must not look like this one's.
PICTURES = (
    *("recall", "precision_recall", "roc", "similarities", "mistakes", "neighbours"),
    *("confusion", "map_pca", "map_tsne"),
)


def write(
    folder,
    embeddings,
    labels,
    images=None,
    *,
    gallery=None,
    gallery_labels=None,
    gallery_images=None,
    class_names=None,
    ids=None,
    gallery_ids=None,
    scores=None,
    protocol="",
    title="Evaluation",
    similarity="cosine",
    neighbours=8,
    queries=10,
    map_examples=2000,
    max_pairs=2**20,
    seed=0,
    chunk_size=None,
    verbose=1,
):
    """Writes pictures of how well embeddings find their class, and a page of them all.

    The folder gets PNG files and `index.html`, which holds everything: it opens by a
    double click, needs no network and runs no script. On it are the scores, recall@k
    and precision over the length of lists, precision over recall, the ROC curve,
    similarities of pairs with cut-points, the worst mistakes and neighbours of queries
    drawn at random, which classes are taken for which, and maps by PCA and t-SNE.

    Queries search one another, or a gallery, in chunks, as in `metrics.retrieval`; the
    same arguments give the same files. Pairs are of all examples, those of the gallery
    included; where there are many, they and the maps are a sample.

    Args:
        folder: Made where missing; files of an earlier report are replaced.
        embeddings: `(n, d)`.
        labels: `(n,)` their classes: integers of any size, or strings.
        images: `(n, h, w)` or `(n, h, w, c)` images, 0 … 255 or 0 … 1, or n paths of
            image files, of which only those shown are read. None: no pictures of them.
        gallery: `(r, d)` embeddings to search; None: the queries themselves.
        gallery_labels: `(r,)` classes of the gallery, of the same kind as `labels`.
        gallery_images: Images of the gallery, if there are some of the queries.
        class_names: `(c,)` names, by label; None: the labels themselves.
        ids: `n` names of the examples for tables, such as paths; None: the paths, or
            positions.
        gallery_ids: `r` names of the gallery.
        scores: Dict of numbers to print, or of such dicts. None: those of
            `metrics.retrieval` and `metrics.verification`.
        protocol: What was measured on what, plain text that stands on top.
        title: Of the page.
        similarity: How embeddings compare, one of `ops.SIMILARITIES`. The maps are
            Euclidean, of embeddings scaled to length 1 if this is "cosine".
        neighbours: Neighbours of a query in the pictures, at least 1.
        queries: Rows of a picture of neighbours, at least 1.
        map_examples: Examples on the maps at most, whole classes rather than a few of
            each; t-SNE of 2000 takes up to half a minute. 0 leaves the maps out.
        max_pairs: Pairs compared at most, as in `metrics.pair_scores`.
        seed: Non-negative integer, of all that is drawn at random.
        chunk_size: Queries at a time, as in `metrics.retrieval`.
        verbose: 0 is silent, 1 says what is being done.

    Returns:
        `pathlib.Path` of the page.

    Raises:
        ValueError: If embeddings and labels are not as `metrics.retrieval` takes them,
            `images` or `ids` are not one per embedding, there are no two classes or
            each example is alone in its class, or a number is out of its range.
        ImportError: Without scikit-learn, if there are to be maps.

    Example:

    >>> reports.write("report", embedder.predict(images), labels, images)
    PosixPath('report/index.html')
    """
    for name, value, least in [
        ("neighbours", neighbours, 1),
        ("queries", queries, 1),
        ("map_examples", map_examples, 0),
    ]:
        if value < least:
            raise ValueError(
                f"`{name}` must be at least {least}. Received: {name}={value}."
            )
    data = _evaluated(
        (embeddings, labels, images, ids),
        (gallery, gallery_labels, gallery_images, gallery_ids),
        class_names,
        similarity,
    )
    if map_examples:
        maps.check_sklearn()
    say = print if verbose else lambda *_: None
    sampling = {"max_pairs": max_pairs, "seed": seed}

    say(f"Report: comparing {len(data.queries.codes):,} queries and their gallery")
    content = sections.scores_and_curves(data, scores, sampling, chunk_size, verbose)
    say("Report: looking at neighbours")
    k = min(neighbours, len(data.gallery.codes) - data.own)
    nearest = found.nearest_neighbours(data, k, chunk_size)
    content += sections.neighbours(data, nearest, queries, seed, chunk_size)
    taken_for = data.gallery.codes[nearest[:, 0]]
    confused = found.confusions(data.queries.codes, taken_for)
    content += sections.confusion(data, confused, taken_for)
    if map_examples:
        content += sections.two_maps(data, confused, map_examples, seed, say)
    return _write(pathlib.Path(folder), title, protocol, content)


def _evaluated(searching, searched, class_names, similarity):
    """Checks what was given of the queries and of the gallery, and joins it."""
    check_similarity(similarity)
    own = queries_are_gallery(*searched[:2])
    queries = _checked("", *searching)
    gallery = queries if own else _checked("gallery_", *searched)
    if (queries.images is None) != (gallery.images is None):
        raise ValueError("`images` and `gallery_images` must be given together.")
    labels = queries.codes
    if not own:
        check_same_size(queries.embeddings, gallery.embeddings)
        if len({labels.dtype.kind in "biu", gallery.codes.dtype.kind in "biu"}) == 2:
            raise ValueError(
                "`labels` and `gallery_labels` must be of one kind, integers or "
                f"strings. Received: {labels.dtype} and {gallery.codes.dtype}."
            )
        labels = np.concatenate([labels, gallery.codes])
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2 or len(classes) == len(labels):
        raise ValueError(
            "A report needs two classes or more, and one of them with two examples or "
            f"more. Received: {len(labels)} examples of {len(classes)} classes."
        )
    queries = dataclasses.replace(queries, codes=codes[: len(queries.codes)])
    if own:
        gallery = queries
    else:
        gallery = dataclasses.replace(gallery, codes=codes[len(queries.codes) :])
    return Evaluated(queries, gallery, class_names_of(classes, class_names), similarity)


def _checked(prefix, embeddings, labels, images, ids):
    """Returns `Examples`, whose labels are not yet codes."""
    embeddings = check_embeddings(prefix.strip("_") or "embeddings", embeddings)
    labels = check_labels(f"{prefix}labels", labels, len(embeddings))
    for name, values in [("images", images), ("ids", ids)]:
        if values is not None and len(values) != len(embeddings):
            raise ValueError(
                f"`{prefix}{name}` must have one entry per embedding, "
                f"{len(embeddings)}. Received: {len(values)}."
            )
    if ids is None:
        has_paths = images is not None and are_paths(images)
        ids = images if has_paths else range(len(labels))
    return Examples(embeddings, labels, [str(i) for i in ids], images)


def _write(folder, title, protocol, content):
    folder.mkdir(parents=True, exist_ok=True)
    for name in PICTURES:
        (folder / f"{name}.png").unlink(missing_ok=True)
    for picture in pictures_of(content):
        (folder / f"{picture.name}.png").write_bytes(picture.png)
    path = folder / "index.html"
    path.write_text(page(title, protocol, content), encoding="utf-8")
    return path
