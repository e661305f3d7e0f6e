"""Pictures of queries and of what they found."""

import os

import numpy as np
from keras import ops

from kerasdml.ops import similarities
from kerasdml.pictures.neighbours import draw_found
from kerasdml.pictures.thumbnails import (
    THUMBNAIL,
    as_squares,
    read_thumbnails,
    thumbnails,
)
from kerasdml.reports.canvas import Picture, png_of


def draw_mistakes(worst, draw):
    """Draws the worst mistakes, with how similar the nearest right one is.

    Args:
        worst: `found.Mistakes`.
        draw: What `drawer` returned.
    """
    notes = [f"own class {score:.2f}" for score in worst.right_scores]
    return Picture(
        "mistakes",
        "The worst mistakes",
        "A row is a query and its nearest neighbours. Below the query is how similar "
        "the nearest of its own class is.",
        f"{len(worst.queries)} queries and their nearest neighbours, right ones framed "
        "green, wrong ones dark red. The table below says the same in words.",
        draw(worst.queries, notes, "Worst mistakes: "),
    )


def draw_sample(queries, draw):
    """Draws queries that were drawn at random, which show what is usual."""
    return Picture(
        "neighbours",
        "Queries drawn at random",
        "Not chosen by how well they do, each of another class as far as there are.",
        f"{len(queries)} queries and their nearest neighbours, right ones framed "
        "green, wrong ones dark red.",
        draw(queries, None, "Drawn at random: "),
    )


def drawer(data, nearest):
    """Returns a function that draws rows of neighbours, reading no other images.

    Args:
        data: `evaluated.Evaluated`.
        nearest: `(q, k)` neighbours of all queries.

    Returns:
        A function of indices of queries, as many notes or None, and the heading: the
        bytes of a PNG file.
    """

    def draw(rows, notes, heading):
        found = nearest[rows]
        queries = thumbnails_at(data.queries.images, rows)
        neighbours = thumbnails_at(data.gallery.images, found.ravel())
        if queries.shape[1:] != neighbours.shape[1:]:
            queries = as_squares(queries, THUMBNAIL)
            neighbours = as_squares(neighbours, THUMBNAIL)
        figure = draw_found(
            queries,
            neighbours.reshape(*found.shape, *neighbours.shape[1:]),
            data.queries.codes[rows],
            data.gallery.codes[found],
            scores_of(data, rows, found),
            data.names,
            notes,
            heading,
        )
        return png_of(figure, dpi=120)

    return draw


def scores_of(data, rows, found):
    """Returns `(r, k)`, how similar queries are to their neighbours."""
    return np.stack(
        [
            ops.convert_to_numpy(
                similarities(
                    data.queries.embeddings[row : row + 1],
                    data.gallery.embeddings[neighbours],
                    data.similarity,
                )
            )[0]
            for row, neighbours in zip(rows, found, strict=True)
        ]
    )


def are_paths(images):
    return isinstance(images[0], (str, os.PathLike))


def thumbnails_at(images, rows):
    """Returns `(r, h, w, 3)` uint8 thumbnails of images or of files at some rows."""
    chosen = [images[row] for row in rows]
    if are_paths(chosen):
        return read_thumbnails(chosen, THUMBNAIL)
    return thumbnails(np.stack(chosen), THUMBNAIL)
