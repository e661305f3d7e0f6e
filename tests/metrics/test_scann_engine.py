"""Approximate evaluation by ScaNN."""

import sys

import numpy as np
import pytest

from kerasdml.metrics import evaluate, retrieval


@pytest.fixture
def clouds():
    rng = np.random.default_rng(0)
    labels = rng.integers(200, size=12_000)
    embeddings = rng.normal(size=(200, 16))[labels] + 0.7 * rng.normal(
        size=(len(labels), 16)
    )
    return embeddings.astype("float32"), labels


@pytest.mark.parametrize("similarity", ["cosine", "squared_euclidean"])
def test_is_close_to_exact_and_says_how_close(clouds, similarity):
    pytest.importorskip("scann")
    embeddings, labels = clouds
    options = {"similarity": similarity, "ks": (1, 10)}
    exact = retrieval(embeddings, labels, **options)
    scores = retrieval(embeddings, labels, engine="scann", **options)
    longest = np.bincount(labels).max() - 1
    shares = [scores.pop(f"engine_recall_at_{k}") for k in (1, 10, longest)]
    assert 0.9 < min(shares) <= max(shares) <= 1.0
    assert scores == pytest.approx(exact, abs=0.02)


def test_a_small_gallery_is_searched_exactly():
    pytest.importorskip("scann")
    # Two of the first in its list, without the query: of 0 (A) 1 2, of 1 (B) 0 2, of
    # 2 (B) 0 and 1 in any order, of 3 (A) 4 2 and of 4 (A) 3 2.
    embeddings = np.array([[0.0], [0.0], [1.0], [5.0], [7.0]])
    labels = np.array(["A", "B", "B", "A", "A"])
    options = {"ks": (2,), "metrics": ("recall_at_k",), "similarity": "euclidean"}
    scores = retrieval(embeddings, labels, engine="scann", **options)
    assert scores == {"recall_at_2": 4 / 5, "engine_recall_at_2": 1.0}
    assert evaluate(embeddings, labels, engine="scann", **options) == scores
    # Of a gallery apart nothing is left out: 2 and 3 have an item of their class there.
    apart = embeddings[2:4], labels[2:4], embeddings[:2], labels[:2]
    assert retrieval(*apart, engine="scann", **options)["recall_at_2"] == 1.0


@pytest.mark.parametrize(
    "options",
    [
        {"metrics": ("mrr",)},
        {"ties": "optimistic"},
        {"similarity": "manhattan"},
        {"ignored": [[0], [1]]},
    ],
)
def test_refuses_what_only_the_exact_engine_can(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"cannot do what `{name}` asks.* `engine="):
        retrieval(np.eye(2), [0, 0], ks=(1,), engine="scann", **options)


def test_an_index_that_searches_more_finds_more(clouds):
    pytest.importorskip("scann")
    from kerasdml.index import Scann

    options = {"ks": (1, 10), "metrics": ("recall_at_k",)}
    every, few = (
        retrieval(
            *clouds,
            engine=Scann.build(clouds[0], leaves=100, leaves_to_search=n),
            **options,
        )
        for n in (100, 2)
    )
    assert every["engine_recall_at_10"] > 0.99 > few["engine_recall_at_10"]


@pytest.mark.parametrize(
    "rows, similarity, message",
    [
        (slice(99), "cosine", "must hold the gallery, 100 .* Received: an index of 99"),
        (slice(100), "dot", "must compare by 'cosine'.*similarity='dot'"),
    ],
)
def test_refuses_an_index_of_another_gallery(clouds, rows, similarity, message):
    pytest.importorskip("scann")
    from kerasdml.index import Scann

    embeddings, labels = clouds[0][:100], clouds[1][:100]
    index = Scann.build(embeddings[rows], similarity=similarity)
    with pytest.raises(ValueError, match=message):
        retrieval(embeddings, labels, ks=(1,), engine=index)


def test_refuses_an_engine_it_does_not_know():
    with pytest.raises(
        ValueError, match="'scann' or an index .* Received: engine='fai"
    ):
        retrieval(np.eye(2), [0, 0], ks=(1,), engine="faiss")


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scann", None)
    with pytest.raises(ImportError, match="scann.*pip install"):
        retrieval(np.eye(2), [0, 0], ks=(1,), engine="scann")
