"""Items of the gallery that single queries do not rank."""

import numpy as np
import pytest

from kerasdml.metrics import ranking, retrieval

# A query of class 1 at 0; the gallery, from near to far, of classes 1 0 1 0 1.
QUERY, QUERY_LABELS = np.array([[0.0]]), [1]
GALLERY, GALLERY_LABELS = np.arange(1.0, 6.0)[:, None], [1, 0, 1, 0, 1]
ALL = ("recall_at_k", "precision_at_k", "r_precision", "map_at_r", "mrr", "map_at_all")


@pytest.mark.parametrize("ties", ["index", "optimistic", "pessimistic"])
@pytest.mark.parametrize("metrics", [ALL[:4], ALL])
@pytest.mark.parametrize("sort", [False, True])
def test_value_worked_by_hand(monkeypatch, sort, ties, metrics):
    if sort:  # as long lists are
        monkeypatch.setattr(ranking, "_LONG", 0)
        monkeypatch.setattr(ranking, "_LARGE", 0)
    # Without the first and the second of all, 1 0 1 is left, of which 2 are relevant.
    scores = retrieval(
        QUERY,
        QUERY_LABELS,
        GALLERY,
        GALLERY_LABELS,
        metrics=metrics,
        ks=(1, 2),
        similarity="euclidean",
        ties=ties,
        ignored=[[0, -1, 1, 0]],
    )
    expected = {
        "recall_at_1": 1,
        "recall_at_2": 1,
        "precision_at_1": 1,
        "precision_at_2": 1 / 2,
        "r_precision": 1 / 2,
        "map_at_r": 1 / 2,
        "mrr": 1,
        "map_at_all": (1 + 2 / 3) / 2,
    }
    assert scores == pytest.approx({name: expected[name] for name in scores})


def test_what_is_ignored_might_as_well_not_be_there():
    rng = np.random.default_rng(0)
    gallery, gallery_labels = rng.normal(size=(400, 4)), rng.integers(5, size=400)
    queries, labels = rng.normal(size=(7, 4)), rng.integers(5, size=7)
    gone = rng.permutation(400)[:30]
    left = np.setdiff1d(np.arange(400), gone)
    for names in (ALL[:2], ALL):
        scores = retrieval(
            queries,
            labels,
            gallery,
            gallery_labels,
            metrics=names,
            ignored=np.tile(gone, (7, 1)),
        )
        assert scores == retrieval(
            queries, labels, gallery[left], gallery_labels[left], metrics=names
        )


def test_lists_of_unequal_length():
    # The first query loses both items of its class, the other nothing.
    scores = retrieval(
        np.array([[0.0], [0.0]]),
        [1, 1],
        np.array([[1.0], [2.0], [3.0]]),
        [1, 1, 0],
        metrics=("recall_at_k", "map_at_all"),
        ks=(1,),
        similarity="euclidean",
        ignored=[[0, 1], [-1, -1]],
    )
    # The first is lone: a miss for recall, left out of the other.
    assert scores == {"recall_at_1": 0.5, "map_at_all": 1.0}


def test_a_query_may_ignore_itself_in_its_own_set():
    embeddings, labels = np.array([[0.0], [1.0], [3.0], [7.0]]), [0, 0, 1, 1]
    options = {"ks": (1, 3), "similarity": "euclidean"}
    assert retrieval(
        embeddings, labels, ignored=[[0], [1], [-1], [3]], **options
    ) == retrieval(embeddings, labels, **options)


@pytest.mark.parametrize(
    "ignored, message",
    [
        ([0], r"a row per query, the shape `\(1, m\)`. Received: .* shape \(1,\)"),
        ([[0.0]], "must be integers.*dtype float64"),
        ([[0], [1]], r"Received: ignored of shape \(2, 1\)"),
        ([[5]], "from 0 to 4, or -1 for none. Received: from 5 to 5"),
        ([[-2]], "Received: from -2 to -2"),
        ([[0, 1, 2]], "from 1 to .*, here 2 "),
    ],
)
def test_refuses_what_is_not_in_the_gallery(ignored, message):
    data = QUERY, QUERY_LABELS, GALLERY, GALLERY_LABELS
    with pytest.raises(ValueError, match=message):
        retrieval(*data, ks=(1, 3), ignored=ignored)
