"""What is ScaNN's own: how much it finds, its sizes, and its absence."""

import json
import os
import pathlib
import sys

import numpy as np
import pytest

from kerasdml import index
from kerasdml.index import table, tuning

pytestmark = pytest.mark.scann


@pytest.fixture(autouse=True)
def scann():
    pytest.importorskip("scann", reason="needs scann (Linux x86-64)")


def clusters(count, dim=16, seed=0):
    """Vectors around 200 centres, as embeddings of 200 classes would lie."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(200, dim))
    spread = 0.4 * rng.normal(size=(count, dim))
    return (centres[rng.integers(200, size=count)] + spread).astype("float32")


def recall(found, truth):
    """The share of the true neighbours that were found, query by query."""
    pairs = zip(found.tolist(), truth.tolist(), strict=True)
    return np.mean([len(set(f) & set(t)) / len(t) for f, t in pairs])


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_finds_most_of_what_an_exact_search_finds(similarity):
    gallery, queries = clusters(10_000), clusters(200, seed=1)
    _, truth = index.Exact.build(gallery, similarity=similarity).search(queries, k=10)
    approximate = index.Scann.build(gallery, similarity=similarity)
    assert approximate.leaves == 100, "a collection of this size is partitioned"
    assert recall(approximate.search(queries, k=10)[1], truth) >= 0.95


@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_finds_most_neighbours_of_real_embeddings(similarity):
    if "KERASDML_DATA" not in os.environ:
        pytest.skip("KERASDML_DATA names no folder with ann_vectors.npz")
    data = np.load(pathlib.Path(os.environ["KERASDML_DATA"]) / "ann_vectors.npz")
    gallery, queries = data["cnn64_base"], data["cnn64_queries"]
    # The embeddings have length 1, so their neighbours are the same by both.
    made = index.Scann.build(gallery, similarity=similarity)
    assert made.leaves == 110, "12,000 vectors are partitioned"
    assert recall(made.search(queries, k=10)[1], data["cnn64_gt10"]) >= 0.95


def test_scores_of_what_is_found_are_exact():
    gallery, queries = clusters(500), clusters(20, seed=1)
    made = index.Scann.build(gallery, leaves=20, leaves_to_search=2)
    scores, ids = made.search(queries, k=5)
    unit = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
    directions = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    expected = np.einsum("qkd,qd->qk", unit[ids], directions)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


@pytest.mark.parametrize("k", [1, 30, 120, 200])
def test_a_narrow_search_widens_until_there_are_k(k):
    made = index.Scann.build(clusters(200), leaves=50, leaves_to_search=1, reorder=1)
    scores, ids = made.search(clusters(10, seed=1), k=k)
    assert np.isfinite(scores).all()
    assert all(len(set(row)) == k for row in ids.tolist())


def test_a_wider_search_finds_more():
    gallery, queries = clusters(2_000), clusters(100, seed=1)
    _, truth = index.Exact.build(gallery).search(queries, k=10)
    narrow, wide = (
        index.Scann.build(gallery, leaves=40, leaves_to_search=leaves)
        for leaves in (1, 40)
    )
    found_by_narrow = recall(narrow.search(queries, k=10)[1], truth)
    assert found_by_narrow < recall(wide.search(queries, k=10)[1], truth)


@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_what_was_removed_costs_no_reading_of_embeddings(monkeypatch, similarity):
    gallery, queries = clusters(2000), clusters(20, seed=1)
    everywhere = {"leaves": 20, "leaves_to_search": 20, "reorder": 2000}
    made = index.Scann.build(gallery, similarity=similarity, **everywhere)
    # Of one query all the nearest, so that a search must look beyond them.
    made.remove(made.search(queries[:1], k=900)[1][0])
    score, read = table.exact_scores, []

    def exact_scores(queries, rows, similarity):
        read.append(rows.shape[1])
        return score(queries, rows, similarity)

    monkeypatch.setattr(table, "exact_scores", exact_scores)
    scores, ids = made.search(queries, k=10)
    assert read == [10]
    left = index.Exact.build(gallery[made.ids], made.ids, similarity=similarity)
    expected_scores, expected = left.search(queries, k=10)
    assert (ids == expected).all()
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5)


@pytest.mark.parametrize(
    "size, leaves, leaves_to_search", [(15, 0, 0), (9_999, 0, 0), (10_000, 100, 20)]
)
def test_sizes_follow_the_collection(size, leaves, leaves_to_search):
    made = index.Scann.build(clusters(size, dim=2))
    assert (made.leaves, made.leaves_to_search) == (leaves, leaves_to_search)


def test_sizes_survive_saving(tmp_path):
    made = index.Scann.build(clusters(100), leaves=9, leaves_to_search=4, reorder=20)
    made.save(tmp_path / "index")
    loaded = index.load(tmp_path / "index")
    assert (loaded.leaves, loaded.leaves_to_search, loaded.reorder) == (9, 4, 20)


def test_equal_collections_are_saved_equal(tmp_path):
    # What a scan does not use comes uninitialised from ScaNN, and must not be kept.
    for name in ("one", "other"):
        index.Scann.build(clusters(100)).save(tmp_path / name)
    one, other = (tmp_path / name / "1" / "index.json" for name in ("one", "other"))
    assert one.read_text() == other.read_text()


class TestTune:
    def truth(self, gallery, queries):
        unit, way = (x / np.linalg.norm(x, axis=1)[:, None] for x in (gallery, queries))
        return np.argsort(-(way @ unit.T), axis=1)[:, :10]

    def test_takes_the_fastest_that_finds_enough(self, monkeypatch, tmp_path):
        gallery, queries = clusters(10_000), clusters(150, seed=1)
        made = index.Scann.build(gallery, leaves_to_search=1, reorder=1)
        truth = self.truth(gallery, queries)
        assert recall(made.search(queries, k=10)[1], truth) < 0.9
        fastest = {"reorder": 50}

        def speed(self, leaves_to_search, reorder):
            return 2.0 if reorder == fastest["reorder"] else 1.0

        monkeypatch.setattr(tuning._Measure, "speed", speed)
        report = made.tune(target_recall=0.9, queries=queries)
        assert made.reorder == report["reorder"] == 50
        assert made.leaves_to_search == report["leaves_to_search"]
        assert all(setting["recall"] >= 0.9 for setting in report["measured"])
        found = recall(made.search(queries, k=10)[1], truth)
        assert found == pytest.approx(report["recall"]) and found >= 0.9
        assert (report["queries"], report["held_out"], report["k"]) == (150, True, 10)
        made.save(tmp_path / "index")
        loaded = index.load(tmp_path / "index")
        assert loaded.report == made.report == report
        assert (loaded.search(queries)[1] == made.search(queries)[1]).all()
        manifest = json.loads((tmp_path / "index" / "1" / "index.json").read_text())
        assert manifest["options"]["report"] == report
        # Of fewer, all are scanned, and nothing was measured of those.
        made.remove(range(500))
        made.compact()
        assert (made.leaves, made.report) == (0, None)
        expected = self.truth(gallery[500:], queries) + 500
        assert (made.search(queries)[1] == expected).all()

    def test_without_queries_leaves_each_stored_one_out_of_its_own_list(self):
        gallery = clusters(600)
        made = index.Scann.build(gallery, leaves=20, leaves_to_search=1, reorder=1)
        report = made.tune(0.8, k=5)
        assert (report["queries"], report["held_out"]) == (600, False)
        truth = self.truth(gallery, gallery)
        found = made.search(gallery, k=6)[1]
        others = [[i for i in row if i != own][:5] for own, row in enumerate(found)]
        expected = [[i for i in row if i != own][:5] for own, row in enumerate(truth)]
        share = recall(np.array(others), np.array(expected))
        assert report["recall"] == pytest.approx(share, abs=0.01)

    def test_of_a_scan_is_a_formality(self):
        made = index.Scann.build(clusters(300))
        assert made.tune(1.0, clusters(20, seed=1))["recall"] == 1.0
        assert made.leaves == 0

    def test_says_what_it_cannot_do(self, monkeypatch):
        made = index.Scann.build(clusters(2000), leaves=40)
        monkeypatch.setattr(tuning, "_REORDER", (1,))
        with pytest.raises(ValueError, match="No search finds the share 0.9999 of the"):
            made.tune(0.9999, clusters(50, seed=1))
        with pytest.raises(ValueError, match="`target_recall` must .* Received: 0"):
            made.tune(0)
        with pytest.raises(ValueError, match="`queries` must have the shape"):
            made.tune(0.5, np.ones((3, 4)))
        made.remove([3])
        with pytest.raises(ValueError, match=r"has changes. Call `compact\(\)`"):
            made.tune(0.5)


@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize("same", [False, True])
def test_odd_sizes_and_equal_embeddings_can_be_partitioned(dim, same):
    gallery = np.ones((40, dim)) if same else clusters(40, dim)
    made = index.Scann.build(gallery, similarity="euclidean", leaves=5)
    _, ids = made.search(gallery[:3], k=40)
    assert (np.sort(ids, axis=1) == np.arange(40)).all()


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"leaves": -1}, "`leaves` must be 0 .* Received: leaves=-1 with 20 vec"),
        ({"leaves": 21}, "`leaves` must be 0 .* Received: leaves=21 with 20 vec"),
        ({"leaves": 4, "leaves_to_search": 5}, "number of leaves, 4. Received: l"),
        ({"leaves": 4, "leaves_to_search": 0}, "number of leaves, 4. Received: l"),
        ({"reorder": 0}, "`reorder` must be positive. Received: reorder=0"),
    ],
)
def test_rejects_sizes_out_of_range(bad, message):
    with pytest.raises(ValueError, match=message):
        index.Scann.build(clusters(20), **bad)


def test_rejects_leaves_of_a_collection_too_small_to_learn_from():
    with pytest.raises(ValueError, match="at least 16. Received: leaves=2 with 15"):
        index.Scann.build(clusters(15), leaves=2)


def test_says_what_to_install_where_scann_is_missing(tmp_path, monkeypatch):
    index.Scann.build(clusters(20)).save(tmp_path / "index")
    monkeypatch.setitem(sys.modules, "scann", None)
    for use in (
        lambda: index.Scann.build(clusters(20)),
        lambda: index.load(tmp_path / "index"),
    ):
        with pytest.raises(ImportError, match=r"pip install scann==1.4.2. `index.Ex"):
            use()
