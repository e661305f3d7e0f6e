"""A picture of queries and their nearest neighbours."""

import io

import numpy as np

from kerasdml.pictures.names import class_names_of

# Told apart by brightness as well, for those who see red and green alike.
_RIGHT, _WRONG, _QUERY = "#2fae5b", "#b3162b", "#3c3c3c"
_LONGEST_NAME = 14  # capitals that fit below an image


def choose_queries(labels, count, seed=0, gallery_labels=None):
    """Draws examples that have something to find, of different classes first.

    Args:
        labels: `(n,)` classes.
        count: Number of queries, at least 1.
        seed: Integer; the same labels and seed give the same queries.
        gallery_labels: `(r,)` classes of what they search; None: one another.

    Returns:
        `(q,)` indices, q = `count` or fewer where there are no more.

    Raises:
        ValueError: If there are none.
    """
    _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    able = sizes[codes] > 1
    if gallery_labels is not None:
        able = np.isin(labels, gallery_labels)
    order = np.random.default_rng(seed).permutation(len(codes))
    order = order[able[order]]
    if not order.size:
        raise ValueError(
            "Queries need another example of their class to find. "
            f"Received {len(codes)} examples, each alone in its class."
        )
    _, firsts = np.unique(codes[order], return_index=True)
    is_first = np.isin(np.arange(len(order)), firsts)
    return np.concatenate([order[is_first], order[~is_first]])[:count]


def draw_found(
    queries,
    neighbours,
    labels,
    found_labels,
    scores,
    class_names=None,
    notes=None,
    heading="",
):
    """Draws what was found for some queries, with its classes and similarities.

    Args:
        queries: `(q, h, w)` or `(q, h, w, c)` images, uint8; c = 1, 3 or 4.
        neighbours: `(q, k, h, w)` or `(q, k, h, w, c)` images, uint8.
        labels: `(q,)` classes of the queries.
        found_labels: `(q, k)` classes of the neighbours.
        scores: `(q, k)` similarities.
        class_names: `(c,)` names, by label; None: the labels themselves.
        notes: `q` strings to put below the names of the queries.
        heading: Text before the count of right neighbours at the top.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    right = found_labels == labels[:, None]
    titles = [_shorten(name) for name in class_names_of(labels, class_names)]
    if notes is not None:
        titles = [f"{title}\n{note}" for title, note in zip(titles, notes, strict=True)]
    captions = []
    for row, row_scores in zip(found_labels, scores, strict=True):
        names = class_names_of(row, class_names)
        captions.append(
            [f"{_shorten(n)}\n{s:.2f}" for n, s in zip(names, row_scores, strict=True)]
        )
    return draw_neighbours(
        queries,
        neighbours,
        right,
        titles=titles,
        captions=captions,
        heading=f"{heading}{right.sum()} of {right.size} neighbours right",
    )


def draw_neighbours(
    queries, neighbours, right, titles=None, captions=None, heading=None
):
    """Draws a row for every query: the query, then its neighbours, nearest first.

    Right neighbours are framed green, wrong ones in a darker red.

    Args:
        queries: `(q, h, w)` or `(q, h, w, c)` images, uint8; c = 1, 3 or 4.
        neighbours: `(q, k, h, w)` or `(q, k, h, w, c)` images, uint8.
        right: `(q, k)` booleans, whether a neighbour is of the query's class.
        titles: `q` strings to put below the queries.
        captions: `q` lists of `k` strings to put below the neighbours.
        heading: Text at the top.

    Returns:
        A `matplotlib.figure.Figure`; no window and no global state is involved.

    Raises:
        ValueError: If shapes do not fit.

    Example:

    >>> draw_neighbours(images[:2], images[nearest], right).savefig("neighbours.png")
    """
    from matplotlib.figure import Figure

    queries, neighbours, right = map(np.asarray, (queries, neighbours, right))
    _check_shapes(queries, neighbours, right)
    rows, k = right.shape
    lines = 2.2 if captions is not None else 1.2 if titles is not None else 0.2
    text, top = 0.17 * lines, 0.55  # inches
    width, height = 1.1 * (k + 1) + 0.75, (1.1 + text) * rows + top
    figure = Figure(figsize=(width, height), dpi=120, facecolor="white")
    grid = figure.add_gridspec(
        rows,
        k + 2,
        width_ratios=[1, 0.18, *[1] * k],
        left=0.25 / width,
        right=1 - 0.25 / width,
        top=1 - top / height,
        bottom=text / height,
        wspace=0.1,
        hspace=(text + 0.06) / 1.04,
    )
    for row in range(rows):
        title = "" if titles is None else titles[row]
        axes = figure.add_subplot(grid[row, 0])
        _draw_image(axes, queries[row], title, _QUERY, weight="bold")
        for rank in range(k):
            _draw_image(
                figure.add_subplot(grid[row, rank + 2]),
                neighbours[row, rank],
                "" if captions is None else captions[row][rank],
                _RIGHT if right[row, rank] else _WRONG,
            )
    _write_top(figure, heading or "")
    return figure


def _write_top(figure, heading):
    """Writes the heading and the legend, and what the columns are."""
    width, height = figure.get_size_inches()
    left, right = 0.25 / width, 1 - 0.25 / width
    upper, lower = 1 - 0.2 / height, 1 - 0.44 / height
    figure.text(left, upper, heading, va="center", fontsize=10, parse_math=False)
    figure.text(right, upper, "wrong", va="center", ha="right", color=_WRONG)
    figure.text(
        right - 0.55 / width, upper, "right", va="center", ha="right", color=_RIGHT
    )
    figure.text(left, lower, "query", va="center", fontsize=7.5, color=_QUERY)
    figure.text(
        left + 1.35 / width,
        lower,
        "neighbours, nearest first",
        va="center",
        fontsize=7.5,
        color=_QUERY,
    )


def _draw_image(axes, image, caption, colour, weight="normal"):
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    # Few pixels stay sharp squares; many are smoothed as they shrink.
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=3 if colour != _QUERY else 1.2)
    # A dollar sign in a name is no formula.
    axes.set_xlabel(
        caption, fontsize=7.5, labelpad=4, color=colour, weight=weight, parse_math=False
    )


def _check_shapes(queries, neighbours, right):
    fits = (
        queries.ndim in (3, 4)
        and right.ndim == 2
        and neighbours.shape == right.shape + queries.shape[1:]
        and len(queries) == len(right)
    )
    if not fits:
        raise ValueError(
            "`queries` must be `(q, h, w[, c])`, `neighbours` `(q, k, h, w[, c])` and "
            f"`right` `(q, k)`. Received shapes: {queries.shape}, {neighbours.shape} "
            f"and {right.shape}."
        )


def _shorten(name):
    """Leaves out the middle of a long name: names often differ only at their ends."""
    name = " ".join(name.split())
    if len(name) <= _LONGEST_NAME:
        return name
    half = _LONGEST_NAME // 2
    return f"{name[:half]}…{name[1 - half :]}"


def as_png(figure):
    """Returns a `matplotlib.figure.Figure` as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
