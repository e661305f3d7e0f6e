"""A picture of which classes are taken for which."""

import numpy as np

from kerasdml.reports.canvas import TEXT, Picture, new_axes, png_of


def draw_confusion(shares, names, all_classes):
    """Draws which classes queries of a class find, as a heat map.

    Args:
        shares: `(s, s + 1)` from `found.confusion_shares`.
        names: `s` names of classes, short enough for an axis.
        all_classes: Whether these are all.
    """
    columns = [*names] if all_classes else [*names, "all others"]
    shares = shares[:, : len(columns)]
    side = 2.4 + 0.34 * len(names)
    figure, axes = new_axes(side + 0.6, side)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=90, parse_math=False)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9)
    for (row, column), share in np.ndenumerate(shares):
        percent = round(100 * share)
        if percent:
            colour = "white" if share > 0.55 else TEXT
            axes.text(
                column, row, percent, ha="center", va="center", size=8.5, color=colour
            )
    axes.set_xlabel("class of the nearest neighbour", fontsize=11, color=TEXT)
    axes.set_ylabel("class of the query", fontsize=11, color=TEXT)
    which = "All classes." if all_classes else "The classes most confused."
    own = np.diagonal(shares)
    return Picture(
        "confusion",
        "Confusion between classes",
        "The class of a row: of 100 of its queries, how many have the class of a "
        f"column nearest. {which}",
        f"Heat map of {len(names)} classes. Their queries find their own class first "
        f"in {own.min():.0%} to {own.max():.0%} of the cases.",
        png_of(figure),
    )
