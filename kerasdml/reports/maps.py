"""Maps of the embeddings, in two dimensions."""

import importlib.util

import numpy as np
from keras import ops

from kerasdml.ops import normalize
from kerasdml.reports.canvas import (
    BLACK,
    BLUE,
    BROWN,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    RED,
    SKY,
    Picture,
    new_axes,
    png_of,
)

_COLOURS = (BLUE, ORANGE, GREEN, RED, PINK, SKY, BLACK, BROWN)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
CLASSES = len(_COLOURS)


def check_sklearn():
    """Raises an error that says what to install, before any work is done."""
    if importlib.util.find_spec("sklearn") is None:
        raise ImportError(
            "The maps of a report need scikit-learn: pip install 'kerasdml[report]'. "
            "`map_examples=0` leaves them out."
        )


def choose_points(codes, classes, count, seed):
    """Draws the examples of a map: whole classes rather than a few of each.

    Args:
        codes: `(n,)` classes, 0 … c - 1.
        classes: Classes that come first; the others follow in random order.
        count: At most so many examples, of a class at most `count / min(c, 20)`.
        seed: Integer.

    Returns:
        Indices, in order.
    """
    rng = np.random.default_rng(seed)
    sizes = np.bincount(codes)
    most = max(1, count // min(len(sizes), 20))
    order = np.array(list(dict.fromkeys([*classes, *rng.permutation(len(sizes))])))
    turn = np.empty(len(sizes), int)
    turn[order] = np.arange(len(sizes))
    shuffled = rng.permutation(len(codes))
    shuffled = shuffled[np.argsort(turn[codes[shuffled]], kind="stable")]
    starts = np.concatenate([[0], np.cumsum(sizes[order])[:-1]])
    place = np.arange(len(codes)) - starts[turn[codes[shuffled]]]
    return np.sort(shuffled[place < most][:count])


def as_euclidean(embeddings, similarity):
    """Returns what a map by Euclidean distances should be made of."""
    if similarity == "cosine":
        embeddings = ops.convert_to_numpy(normalize(ops.convert_to_tensor(embeddings)))
    if embeddings.shape[1] == 1:
        embeddings = np.hstack([embeddings, np.zeros_like(embeddings)])
    return embeddings


def pca(embeddings):
    """Returns `(n, 2)` and the share of the variance that they keep."""
    from sklearn.decomposition import PCA

    model = PCA(2, svd_solver="full")
    points = model.fit_transform(embeddings)
    return points, float(np.sum(model.explained_variance_ratio_))


def tsne(embeddings, seed):
    """Returns `(n, 2)` in which neighbours stay neighbours; distances mean little."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(embeddings) - 1) / 3)
    model = TSNE(2, perplexity=perplexity, init="pca", random_state=seed)
    return model.fit_transform(embeddings)


def draw_map(name, title, caption, points, codes, classes, names):
    """Draws points, some classes in colours and shapes, all others in grey.

    Args:
        name: Of the file.
        title: Of the picture.
        caption: Below it.
        points: `(n, 2)`.
        codes: `(n,)` classes, 0 … c - 1.
        classes: At most eight of them.
        names: What to call these.
    """
    figure, axes = new_axes(5.4, 5.8)
    others = ~np.isin(codes, classes)
    axes.scatter(*points[others].T, s=7, color=GREY, linewidths=0)
    for code, text, colour, marker in zip(
        classes, names, _COLOURS, _MARKERS, strict=False
    ):
        rows = codes == code
        axes.scatter(
            *points[rows].T,
            s=20,
            alpha=0.8,
            color=colour,
            marker=marker,
            edgecolors="white",
            linewidths=0.4,
            label=text,
        )
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=GREY)
    axes.set_aspect("equal", adjustable="datalim")
    legend = figure.legend(
        loc="outside lower center", ncols=2, frameon=False, fontsize=9
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # a dollar sign in a name is no formula
    grey = (
        f" and {others.sum():,} points of other classes in grey" if any(others) else ""
    )
    return Picture(
        name,
        title,
        caption,
        f"Map of {len(points):,} embeddings, with the classes {', '.join(names)} in "
        f"colours{grey}.",
        png_of(figure),
    )
