"""Curves of lists and of pairs."""

import numpy as np

from kerasdml.reports.canvas import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    Picture,
    label,
    new_axes,
    png_of,
)

_LONGEST_LIST = 1000


def curve_ks(gallery_size):
    """Returns about six lengths of lists a decade, from 1 to 1000 or the gallery."""
    longest = min(_LONGEST_LIST, gallery_size)
    decades = np.log10(longest)
    # 1, 10, 100 and 1000 are among them, and where the list ends.
    ks = np.round(10.0 ** (np.arange(6 * decades) / 6)).astype(int)
    return tuple(np.union1d(ks, [longest]).tolist())


def precisions(curve, prior):
    """Returns the precision at every threshold of a ROC curve but infinity.

    Args:
        curve: A `metrics.RocCurve`, `(t + 1,)` each.
        prior: The share of same pairs among all pairs, above 0 and below 1.

    Returns:
        `(t,)` precisions; the recalls are `curve.tpr[1:]`.
    """
    true = prior * curve.tpr[1:]
    return true / (true + (1 - prior) * curve.fpr[1:])


def visible(curve, points=1000):
    """Returns the thresholds of a ROC curve that a picture can tell apart, indices.

    A curve of millions of pairs has as many; on a linear and on a logarithmic axis a
    thousand are enough, with the one before each, for the corners of its steps.
    """
    least = curve.fpr[curve.fpr > 0][0]
    reached = np.concatenate(
        [
            np.searchsorted(curve.fpr, np.geomspace(least, 1.0, points)[:-1]),
            np.searchsorted(curve.tpr, np.linspace(0.0, 1.0, points)[:-1]),
            [len(curve.fpr) - 1],
        ]
    )
    return np.unique(np.maximum([reached - 1, reached], 0))


def draw_recall(scores, ks):
    """Draws recall@k, precision@k and the share found over k."""
    figure, axes = new_axes()
    for name, text, colour, style in [
        ("recall_at", "recall@k", BLUE, "o-"),
        ("share_found_at", "share of all found", GREEN, "^--"),
        ("precision_at", "precision@k", RED, "s:"),
    ]:
        values = [scores[f"{name}_{k}"] for k in ks]
        axes.plot(ks, values, style, color=colour, label=text, markersize=5)
    axes.set(xscale="log", ylim=(0, 1.02))
    axes.xaxis.set_major_formatter("{x:g}")
    label(axes, "k, length of the list", "mean over queries")
    figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=9.5)
    shown = ", ".join(f"{scores[f'recall_at_{k}']:.3f} at {k:,}" for k in few(ks))
    return Picture(
        "recall",
        "Recall",
        "How many queries have an image of their class among the k nearest, how many "
        "of all images of their class these are, and how many of the k are right.",
        f"Curves over the length of the list. Recall: {shown}.",
        png_of(figure),
    )


def draw_precision_recall(scores, ks, curve, prior):
    """Draws precision over recall: of lists of k, and of all pairs at a threshold."""
    figure, axes = new_axes()
    keep = visible(curve)[1:]
    recalls, precision = curve.tpr[keep], precisions(curve, prior)[keep - 1]
    axes.plot(recalls, precision, color=BLUE, label="pairs above a threshold")
    found = [scores[f"share_found_at_{k}"] for k in ks]
    right = [scores[f"precision_at_{k}"] for k in ks]
    axes.plot(found, right, "s--", color=RED, markersize=4.5, label="lists of k")
    for k, x, y in zip(ks, found, right, strict=True):
        if k in (1, 10, 100):
            axes.annotate(
                f"k = {k:,}", (x, y), (6, 5), textcoords="offset points", fontsize=9
            )
    axes.set(xlim=(0, 1.04), ylim=(0, 1.02))
    label(axes, "recall: share of the right ones found", "precision")
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=9.5)
    best = np.argmax(2 * precision * recalls / (precision + recalls + 1e-12))
    return Picture(
        "precision_recall",
        "Precision and recall",
        "Lists rank within a query; one threshold for all pairs must also fit every "
        f"class alike. Of all pairs {prior:.2%} are of one class.",
        "Precision over recall. Pairs: at best precision "
        f"{precision[best]:.3f} at recall {recalls[best]:.3f}. Lists: precision "
        f"{right[0]:.3f} at k = {ks[0]} and {right[-1]:.3f} at k = {ks[-1]:,}.",
        png_of(figure),
    )


def draw_roc(curve, verification):
    """Draws the ROC curve, false positives on a logarithmic axis."""
    figure, axes = new_axes()
    keep = visible(curve)
    least = curve.fpr[curve.fpr > 0][0]
    axes.plot(np.maximum(curve.fpr[keep], least / 2), curve.tpr[keep], color=BLUE)
    chance = np.geomspace(least, 1, 100)
    axes.plot(chance, chance, "--", color=GREY, label="chance")
    eer = verification["eer"]
    axes.plot([eer], [1 - eer], "D", color=RED, label=f"equal error {eer:.4f}")
    axes.set(xscale="log", xlim=(least / 2, 1.1), ylim=(0, 1.02))
    label(axes, "false-positive rate", "true-positive rate")
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=9.5)
    area, rate = verification["roc_auc"], verification["tpr_at_fpr_0.001"]
    summary = (
        f"Area under the curve {area:.4f}, equal error rate {eer:.4f}; "
        f"{rate:.1%} of the pairs of one class pass at a false-positive rate of 0.001."
    )
    return Picture(
        "roc",
        "ROC",
        f"Pairs accepted at every threshold. {summary}",
        f"ROC curve. {summary}",
        png_of(figure),
    )


def pair_histogram(pairs, bins=80):
    """Counts pairs by similarity, each kind as shares of itself.

    Args:
        pairs: `metrics.PairScores`.
        bins: Their number, of equal width.

    Returns:
        `(same, different, edges)`: `(bins,)`, `(bins,)` shares and `(bins + 1,)`.
    """
    edges = np.histogram_bin_edges(pairs.scores, bins)
    shares = [
        np.histogram(pairs.scores[kind], edges)[0] / np.sum(kind)
        for kind in (pairs.same, ~pairs.same)
    ]
    return *shares, edges


def draw_similarities(pairs, calibration, similarity):
    """Draws how similar pairs of one class and of two are, and the cut-points."""
    figure, axes = new_axes()
    same, different, edges = pair_histogram(pairs)
    for shares, text, colour, hatch in [
        (different, "of two classes", ORANGE, "////"),
        (same, "of one class", BLUE, None),
    ]:
        filled = {"facecolor": colour, "edgecolor": colour, "linewidth": 0}
        axes.stairs(shares, edges, fill=True, alpha=0.3, hatch=hatch, **filled)
        axes.stairs(shares, edges, color=colour, linewidth=1.8, label=text)
    cuts = cut_points(calibration)
    for (name, cut), style in zip(cuts, ["-", "--", ":"], strict=True):
        axes.axvline(
            cut.threshold,
            color="black",
            linestyle=style,
            linewidth=1.3,
            label=f"{name}: {cut.threshold:.3f}",
        )
    axes.set_ylim(bottom=0)
    label(axes, f"similarity ({similarity})", "share of the pairs of a kind")
    axes.legend(loc="best", fontsize=9.5)
    medians = [np.median(pairs.scores[kind]) for kind in (pairs.same, ~pairs.same)]
    return Picture(
        "similarities",
        "Similarities of pairs",
        "The less the two overlap, the better one threshold tells them apart. "
        f"{_which(pairs)}",
        "Histograms of similarity. Median of pairs of one class "
        f"{medians[0]:.3f}, of two classes {medians[1]:.3f}.",
        png_of(figure),
    )


def cut_points(calibration):
    """Returns `(name, metrics.CutPoint)` of those that a report shows."""
    (rate, strict), *_ = calibration.false_match_rates
    return [
        ("best F1", calibration.best_f1),
        ("equal error", calibration.equal_error),
        (f"false matches {rate:g}", strict),
    ]


def _which(pairs):
    count = np.sum(pairs.same)
    kinds = f"{count:,} pairs of one class and {len(pairs.same) - count:,} of two"
    if pairs.exact:
        return f"These are all pairs: {kinds}."
    return f"A sample: {kinds}; each kind is shown as shares of itself."


def few(ks):
    """Returns 1, 10, 100 and 1000, as far as lists go."""
    return [k for k in (1, 10, 100, 1000) if k in ks]
