import io

import numpy as np
import pytest
from PIL import Image

from kerasdml.pictures.neighbours import as_png, choose_queries, draw_neighbours

GREEN, RED = (0x2F, 0xAE, 0x5B), (0xB3, 0x16, 0x2B)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def frames(figure):
    """Right and wrong neighbours by their frames, a string for every query."""
    letters = []
    for axes in figure.axes:
        colour = axes.spines["left"].get_edgecolor()
        rgb = tuple(round(255 * part) for part in colour[:3])
        letters.append({GREEN: "R", RED: "W"}.get(rgb, " "))
    return "".join(letters).split()


def texts(figure):
    return [axes.get_xlabel() for axes in figure.axes]


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3), (4, 6, 4)])
def test_draws_grey_and_colour_with_any_name(shape):
    figure = draw_neighbours(
        np.zeros((2, *shape), "uint8"),
        np.zeros((2, 3, *shape), "uint8"),
        np.array([[True, False, True], [False, False, True]]),
        titles=["$a", "b$_{"],
        captions=[["$x$", "\\frac", "_^"], ["", "a & b", "%"]],
    )
    assert frames(figure) == ["RWR", "WWR"]
    assert len(pixels(as_png(figure))) > 100


def test_draws_without_any_text():
    images = np.zeros((1, 4, 4), "uint8")
    figure = draw_neighbours(images, images[None], [[True]])
    assert texts(figure) == ["", ""]


def test_queries_come_from_different_classes_and_can_succeed():
    labels = np.array(["a"] * 50 + ["b"] * 2 + ["c"] * 2 + ["d", "e"])
    chosen = choose_queries(labels, 3, seed=1)
    assert sorted(labels[chosen]) == ["a", "b", "c"]
    more = choose_queries(labels, 5, seed=1)
    assert len(set(more)) == 5 and list(more[:3]) == list(chosen)
    assert len(choose_queries(labels, 100)) == 54
    assert list(choose_queries(labels, 5, seed=2)) != list(more)
    with pytest.raises(ValueError, match="Received 2 examples, each alone"):
        choose_queries(labels[-2:], 1)


def test_refuses_shapes_that_do_not_fit():
    images = np.zeros((2, 4, 4), "uint8")
    with pytest.raises(
        ValueError, match=r"Received shapes: \(2, 4, 4\), \(1, 2, 4, 4\)"
    ):
        draw_neighbours(images, images[None], np.ones((2, 1), bool))
