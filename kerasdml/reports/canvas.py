"""What all pictures of a report have in common."""

import io
from typing import NamedTuple

# Okabe and Ito's colours, which nobody confuses, but for the yellow: too pale on white.
BLUE, ORANGE, GREEN, RED = "#0072b2", "#e69f00", "#009e73", "#d55e00"
PINK, SKY, BLACK, BROWN = "#cc79a7", "#56b4e9", "#000000", "#7f4a1e"
GREY, TEXT = "#b8b8b8", "#222222"


class Picture(NamedTuple):
    """A picture, and what is said of it to those who see it and those who do not."""

    name: str
    title: str
    caption: str
    alt: str
    png: bytes


def new_axes(width=5.4, height=3.8):
    """Returns a figure, without any global state of matplotlib, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9.5, colors=TEXT)
    return figure, axes


def label(axes, x, y):
    axes.set_xlabel(x, fontsize=10, color=TEXT)
    axes.set_ylabel(y, fontsize=10, color=TEXT)
    axes.grid(color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)


def png_of(figure, dpi=190):
    """Returns the bytes of a PNG file, the same for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()
