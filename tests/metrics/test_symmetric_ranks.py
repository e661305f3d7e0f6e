"""Queries that are the gallery: the ranks of relevant items, from tiles."""

import numpy as np
import pytest

from kerasdml import metrics
from kerasdml.metrics import ranking, symmetric_ranks
from kerasdml.metrics.symmetric_ranks import SymmetricRanks
from tests.metrics.test_sorted_ranks import listed


@pytest.mark.parametrize("ties", ["index", "optimistic", "pessimistic"])
@pytest.mark.parametrize("size", [15, 40, 41, 100])
def test_agrees_with_a_sorted_list(size, ties, monkeypatch):
    # Whole numbers: products are exact and tie everywhere. Tiles of 16 have edges.
    monkeypatch.setattr(symmetric_ranks, "SIDE", 16)
    rng = np.random.default_rng(size)
    embeddings = rng.integers(-1, 2, size=(size, 4)).astype("float32")
    codes = rng.integers(size // 4, size=size)
    similarities = embeddings @ embeddings.T
    np.fill_diagonal(similarities, -np.inf)
    expected = [
        np.flatnonzero(listed(row, codes == code, ties, size))
        for row, code in zip(similarities, codes, strict=True)
    ]
    done = []
    ranks = SymmetricRanks(embeddings, codes, ties)(done.append)
    np.testing.assert_allclose(sum(done), size)
    for found, places in zip(ranks, expected, strict=True):
        np.testing.assert_array_equal(found[: len(places)], places)
        assert (found[len(places) :] >= size).all()


def test_ranks_worked_by_hand():
    # From 0, nearest first: 2 (of its class), 1, 3. From 2: 0 (own), then 3, 1.
    angles = np.array([0.0, 0.5, 0.1, -0.6])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype("float32")
    ranks = SymmetricRanks(embeddings, np.array([0, 1, 0, 1]), "index")(lambda _: None)
    # From 1: 2, 0, 3 (own). From 3: 0, 2, 1 (own).
    np.testing.assert_array_equal(ranks, [[0], [2], [0], [2]])


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_values_are_those_of_chunks(similarity, monkeypatch):
    monkeypatch.setattr(ranking, "_LARGE", 100)
    rng = np.random.default_rng(0)
    labels = rng.integers(70, size=300)
    embeddings = rng.normal(size=(70, 8))[labels] + 0.6 * rng.normal(size=(300, 8))
    names = ("recall_at_k", "r_precision", "map_at_r", "mrr", "map_at_all")
    options = {"metrics": names, "ks": (1, 5, 200), "similarity": similarity}
    tiles = metrics.retrieval(embeddings, labels, **options)
    chunks = metrics.retrieval(embeddings, labels, **options, chunk_size=64)
    assert tiles == pytest.approx(chunks, abs=1e-12)
    assert 0.2 < tiles["map_at_r"] < 0.9


def test_copies_of_other_classes_are_left_to_chunks(monkeypatch):
    """Equal columns of a product may be rounded differently, and would not tie."""
    monkeypatch.setattr(ranking, "_LARGE", 100)
    monkeypatch.setattr(ranking, "SymmetricRanks", None)  # would raise
    rng = np.random.default_rng(0)
    embeddings = np.repeat(rng.normal(size=(60, 8)), 2, axis=0).astype("float32")
    # The nearest to everything is its copy, of the other of two classes.
    labels = np.arange(120) % 2 + 2 * (np.arange(120) // 12)
    found = metrics.retrieval(embeddings, labels)
    assert found["recall_at_1"] == 0.0
