"""What a report is about."""

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Examples:
    """Embeddings and what is known of each.

    Attributes:
        embeddings: `(n, d)` float32.
        codes: `(n,)` classes, 0 … c - 1.
        ids: `n` texts.
        images: Images or paths, or None.
    """

    embeddings: np.ndarray
    codes: np.ndarray
    ids: list
    images: Any


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """Queries and the gallery that they search.

    Attributes:
        queries: `Examples`.
        gallery: `Examples`; the same object if the queries search one another.
        names: `c` names of classes, by code.
        similarity: How embeddings compare.
    """

    queries: Examples
    gallery: Examples
    names: list
    similarity: str

    @property
    def own(self):
        """Whether the queries search one another."""
        return self.gallery is self.queries

    @property
    def searched(self):
        """Arguments of `metrics.retrieval`."""
        queries = self.queries.embeddings, self.queries.codes
        if self.own:
            return queries
        return *queries, self.gallery.embeddings, self.gallery.codes

    @property
    def all(self):
        """Embeddings and classes of both, each example once."""
        if self.own:
            return self.queries.embeddings, self.queries.codes
        sides = self.queries, self.gallery
        return (
            np.concatenate([side.embeddings for side in sides]),
            np.concatenate([side.codes for side in sides]),
        )
