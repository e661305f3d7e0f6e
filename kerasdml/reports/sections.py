"""The sections of a report.

Each is a list of what follows one another on the page: HTML, pictures, and lists of
pictures that stand side by side.
"""

import numpy as np

from kerasdml import metrics
from kerasdml.pictures.neighbours import choose_queries
from kerasdml.reports import curves, found, grids, maps, page
from kerasdml.reports.confusion import draw_confusion

_HEAT_MAP_CLASSES = 20
_CONFUSED_PAIRS = 20
_LONGEST_NAME = 24


def scores_and_curves(data, scores, sampling, chunk_size, verbose):
    """Scores as a table, curves of lists and of pairs, cut-points.

    Args:
        data: `evaluated.Evaluated`.
        scores: Dict to show, or None.
        sampling: Arguments of `metrics.pair_scores`.
        chunk_size: Of comparisons, or None.
        verbose: Whether to show a progress bar.
    """
    ks = curves.curve_ks(len(data.gallery.codes) - data.own)
    names = ["recall_at_k", "precision_at_k", "share_found_at_k"]
    if scores is None:
        names += ["r_precision", "map_at_r"]
    options = {"similarity": data.similarity, "chunk_size": chunk_size}
    measured = metrics.retrieval(
        *data.searched, metrics=names, ks=ks, verbose=verbose, **options
    )
    pairs = metrics.pair_scores(*data.all, **sampling, **options)
    verified = metrics.verification(pairs.scores, pairs.same, folds=None)
    calibration = metrics.calibrate(pairs.scores, pairs.same, prior=pairs.prior)
    curve = metrics.roc_curve(pairs.scores, pairs.same)
    if scores is None:
        shown = [f"recall_at_{k}" for k in curves.few(ks)] + ["r_precision", "map_at_r"]
        scores = {name: measured[name] for name in shown} | verified
    return [
        page.heading("Scores"),
        page.paragraph(_summary(data)),
        page.table(["score", "value"], _flat(scores), "Scores"),
        [
            curves.draw_recall(measured, ks),
            curves.draw_precision_recall(measured, ks, curve, pairs.prior),
            curves.draw_roc(curve, verified),
            curves.draw_similarities(pairs, calibration, data.similarity),
        ],
        *_cut_points(calibration),
    ]


def _summary(data):
    n, d = data.queries.embeddings.shape
    against = "all others"
    if not data.own:
        found = data.gallery.codes
        against = f"a gallery of {len(found):,} of {len(np.unique(found)):,} classes"
    text = (
        f"{n:,} embeddings of {len(np.unique(data.queries.codes)):,} classes in {d:,} "
        f"dimensions, each a query against {against}; similarity: {data.similarity}."
    )
    lone = n - _able(data)
    return text + (f" {lone:,} queries have nothing to find." if lone else "")


def _able(data):
    codes = (data.queries.codes, None if data.own else data.gallery.codes)
    return len(codes[0]) - metrics.lone_queries(*codes)


def _flat(scores, prefix=""):
    """Yields names and numbers, those of a dict within it under its name."""
    for name, value in scores.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", value


def _cut_points(calibration):
    columns = ("threshold", "precision", "recall", "F1", "false matches", "accuracy")
    rows = [
        (
            name,
            *(cut.threshold, cut.precision, cut.recall, cut.f1),
            *(cut.false_match_rate, cut.accuracy),
        )
        for name, cut in curves.cut_points(calibration)
    ]
    return [
        page.heading("Cut-points"),
        page.paragraph(
            "Two embeddings match if they are at least as similar as the threshold. "
            f"Precision, F1 and accuracy hold where {calibration.prior:.3%} of the "
            "pairs are of one class, as here; metrics.calibrate takes other shares."
        ),
        page.table(["cut-point", *columns], rows, "Cut-points"),
    ]


def neighbours(data, nearest, count, seed, chunk_size):
    """The worst mistakes, in pictures if there are images and in words; a sample.

    Args:
        data: `evaluated.Evaluated`.
        nearest: `(q, k)` from `found.nearest_neighbours`.
        count: Queries in a picture.
        seed: Of the sample.
        chunk_size: Of comparisons, or None.
    """
    first = nearest[:, 0]
    every = found.mistakes(data, first, chunk_size)
    worst = found.of_different_classes(
        every, data.queries.codes, data.gallery.codes[first], count
    )
    draw = None if data.queries.images is None else grids.drawer(data, nearest)
    content = [page.heading("The worst mistakes")]
    content.append(page.paragraph(_mistakes(len(every.queries), _able(data))))
    if len(worst.queries):
        if draw:
            content.append(grids.draw_mistakes(worst, draw))
        content.append(_table_of_mistakes(data, worst, first))
    if draw:
        queries = choose_queries(
            data.queries.codes, count, seed, None if data.own else data.gallery.codes
        )
        content.append(page.heading("Queries drawn at random"))
        content.append(grids.draw_sample(queries, draw))
    return content


def _mistakes(count, able):
    if not count:
        return f"None: all {able:,} queries have one of their class nearest."
    return (
        f"{count:,} of {able:,} queries have one of another class nearest. First those "
        "that are much more similar to it than to any of their own class, as if their "
        "label were wrong. Of two classes only the worst mistake is shown."
    )


def _table_of_mistakes(data, worst, first):
    def described(side, row):
        return side.ids[row], data.names[side.codes[row]]

    columns = ["query", "class", "nearest", "its class", "similarity"]
    columns += ["nearest of its own class", "similarity"]
    rows = [
        (
            *described(data.queries, query),
            *described(data.gallery, first[query]),
            wrong_score,
            data.gallery.ids[right],
            right_score,
        )
        for query, right, wrong_score, right_score in zip(*worst, strict=True)
    ]
    return page.table(columns, rows, "The worst mistakes")


def confusion(data, confused, taken_for):
    """Which classes are taken for which, as a heat map and a table.

    Args:
        data: `evaluated.Evaluated`.
        confused: `found.Confusions`.
        taken_for: `(q,)` classes of the nearest neighbours.
    """
    codes = data.queries.codes
    classes = found.notable_classes(codes, confused, _HEAT_MAP_CLASSES)
    picture = draw_confusion(
        found.confusion_shares(codes, taken_for, classes),
        [_shorten(data.names[code]) for code in classes],
        all_classes=len(classes) == len(data.names),
    )
    content = [page.heading("Confusion between classes"), picture]
    if len(confused.counts):
        rows = [
            (data.names[code], data.names[other], count, share)
            for code, other, count, share in zip(*confused, strict=True)
        ][:_CONFUSED_PAIRS]
        columns = ["class", "taken for", "times", "share of the class"]
        many = f"{len(confused.counts):,} pairs of classes are confused, these most:"
        content.append(page.paragraph(many))
        content.append(page.table(columns, rows, "Confused classes"))
    return content


def two_maps(data, confused, count, seed, say):
    """Maps by PCA and by t-SNE of the same examples, side by side.

    Args:
        data: `evaluated.Evaluated`.
        confused: `found.Confusions`.
        count: Examples at most.
        seed: Of their choice and of t-SNE.
        say: Function to call with what is being done.
    """
    embeddings, codes = data.all
    classes = found.notable_classes(data.queries.codes, confused, maps.CLASSES)
    rows = maps.choose_points(codes, classes, count, seed)
    points = maps.as_euclidean(embeddings[rows], data.similarity)
    names = [_shorten(data.names[code]) for code in classes]
    which = f"{len(rows):,} of {len(codes):,} embeddings"
    say(f"Report: PCA and t-SNE of {which}")
    flat, kept = maps.pca(points)
    coloured = "all classes" if len(classes) == len(data.names) else "confused classes"
    kinds = [
        (
            *("map_pca", "Map by PCA", flat),
            f"{which}, {coloured} in colours. These two directions keep {kept:.0%} of "
            "the variance.",
        ),
        (
            *("map_tsne", "Map by t-SNE", maps.tsne(points, seed)),
            "The same embeddings. Neighbours stay neighbours; how far groups are from "
            "one another, and how large they are, means little.",
        ),
    ]
    return [
        [
            maps.draw_map(name, title, caption, places, codes[rows], classes, names)
            for name, title, places, caption in kinds
        ]
    ]


def _shorten(name):
    name = " ".join(name.split())
    if len(name) <= _LONGEST_NAME:
        return name
    half = _LONGEST_NAME // 2
    return f"{name[:half]}…{name[1 - half :]}"
