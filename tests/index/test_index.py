"""What every index promises, whatever its engine, as built and as read from disk."""

import functools
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from kerasdml import index
from kerasdml.index import base, scanning

SIZE, DIM = 60, 6

# Each of these finds every neighbour, so results compare without tolerance for misses:
# the tree is searched whole and all candidates are scored exactly.
ENGINES = {
    "exact": index.Exact.build,
    # With 2 k + 64 candidates, all of the 60 are scored by float32.
    "exact_int8": functools.partial(index.Exact.build, storage="int8"),
    "scann_scan": functools.partial(index.Scann.build, leaves=0),
    "scann_tree": functools.partial(
        index.Scann.build, leaves=6, leaves_to_search=6, reorder=SIZE
    ),
}


@pytest.fixture(params=ENGINES)
def build(request):
    if request.param.startswith("scann"):
        pytest.importorskip("scann", reason="needs scann (Linux x86-64)")
    return ENGINES[request.param]


@pytest.fixture(params=["built", "mapped"])
def make(request, build, tmp_path):
    """Builds an index, and where the stage is "mapped" saves it and reads it back."""

    def make(*args, **kwargs):
        made = build(*args, **kwargs)
        if request.param == "built":
            return made
        made.save(tmp_path / "index")
        return index.load(tmp_path / "index", mmap=True)

    return make


def embeddings(count=SIZE, seed=0):
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype("float32")


def compare(a, b, similarity):
    """The similarity of two vectors, by its definition, in float64."""
    a, b = a.astype("float64"), b.astype("float64")
    if similarity == "dot":
        return a @ b
    if similarity == "cosine":
        return a @ b / (np.sqrt(a @ a) * np.sqrt(b @ b))
    return -np.sqrt(((a - b) ** 2).sum())


def neighbours(query, gallery, k, similarity):
    """The `k` closest rows and their similarities, one pair at a time."""
    scores = [compare(query, row, similarity) for row in gallery]
    best = sorted(range(len(gallery)), key=lambda row: -scores[row])[:k]
    return [scores[row] for row in best], best


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
class TestSearch:
    def test_finds_what_the_definition_finds(self, make, similarity):
        gallery, queries = embeddings(), embeddings(7, seed=1)
        scores, ids = make(gallery, similarity=similarity).search(queries, k=5)
        for query, found_scores, found in zip(queries, scores, ids, strict=True):
            expected_scores, expected = neighbours(query, gallery, 5, similarity)
            assert found.tolist() == expected
            np.testing.assert_allclose(found_scores, expected_scores, rtol=1e-4)
        assert scores.dtype == np.float32 and ids.dtype == np.int64
        assert (np.diff(scores, axis=1) <= 0).all(), "closest first"

    def test_scores_worked_by_hand(self, make, similarity):
        # The query (1, 0) with (3, 4), (0, 2), (-2, 2), and with 13 vectors that lie
        # on the other side, further away by every similarity.
        gallery = [[3, 4], [0, 2], [-2, 2], *([-10 - i, 0] for i in range(13))]
        expected = {
            # 3/5; 0; -2/sqrt(8)
            "cosine": {0: 0.6, 1: 0.0, 2: -0.7071068},
            "dot": {0: 3.0, 1: 0.0, 2: -2.0},
            # sqrt(2² + 4²), sqrt(1² + 2²), sqrt(3² + 2²)
            "euclidean": {0: -4.4721360, 1: -2.2360680, 2: -3.6055513},
        }[similarity]
        made = make(np.array(gallery, "float32"), similarity=similarity)
        scores, ids = made.search(np.array([[1.0, 0.0]]), k=3)
        assert ids[0].tolist() == sorted(expected, key=expected.get, reverse=True)
        expected_scores = sorted(expected.values(), reverse=True)
        np.testing.assert_allclose(scores[0], expected_scores, rtol=1e-5, atol=1e-6)

    def test_finds_everything_once(self, make, similarity):
        made = make(embeddings(), similarity=similarity)
        _, ids = made.search(embeddings(4, seed=1), k=SIZE)
        assert (np.sort(ids, axis=1) == np.arange(SIZE)).all()

    def test_small_chunks_find_the_same(self, make, similarity, monkeypatch):
        made, queries = make(embeddings(), similarity=similarity), embeddings(7, seed=1)
        scores, ids = made.search(queries, k=5)
        monkeypatch.setattr(base, "_NUMBERS_AT_ONCE", 2 * (SIZE + 2 * 74 * DIM))
        chunked_scores, chunked_ids = made.search(queries, k=5)
        assert (chunked_ids == ids).all()
        np.testing.assert_allclose(chunked_scores, scores, rtol=1e-5, atol=1e-6)

    def test_finds_the_same_inside_a_graph(self, make, similarity):
        made, queries = make(embeddings(), similarity=similarity), embeddings(7, seed=1)
        spec = tf.TensorSpec((None, DIM), tf.float32)
        graph = tf.function(lambda q: made.search_tensors(q, 5), input_signature=[spec])
        for count in (1, 7):
            scores, ids = made.search(queries[:count], k=5)
            found_scores, positions = graph(queries[:count])
            assert (made.ids[positions] == ids).all()
            np.testing.assert_allclose(found_scores, scores, rtol=1e-5, atol=1e-6)
        assert graph.get_concrete_function().output_shapes == ((None, 5), (None, 5))


def test_a_stored_embedding_is_at_distance_0_of_itself(make):
    # Far from the origin, where |q|² + |r|² - 2 q·r has lost the digits.
    gallery = embeddings() + 30.0
    scores, ids = make(gallery, similarity="euclidean").search(gallery, k=1)
    assert (ids[:, 0] == np.arange(SIZE)).all()
    assert (scores == 0.0).all()


def test_cosine_ignores_lengths(make):
    gallery, queries = embeddings(), embeddings(5, seed=1)
    lengths = np.random.default_rng(2).uniform(0.1, 10.0, (SIZE, 1))
    scores, ids = make(gallery * lengths).search(queries * 7.0, k=4)
    expected_scores, expected = index.Exact.build(gallery).search(queries, k=4)
    assert (ids == expected).all()
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5)


def test_an_embedding_of_zeros_has_cosine_0(make):
    gallery = embeddings()
    gallery[3] = 0.0
    scores, ids = make(gallery).search(gallery[:5], k=SIZE)
    assert (scores[ids == 3] == 0.0).all()
    assert (scores[3] == 0.0).all()


@pytest.mark.parametrize(
    "ids",
    [
        np.arange(SIZE)[::-1] + 2**62,
        np.arange(SIZE, dtype="uint8"),
        [f"ähre/{i}.png" for i in range(SIZE)],
        np.array([f"{i}" for i in range(SIZE)], dtype=object),
    ],
    ids=["large integers", "uint8", "list of str", "object array of str"],
)
def test_gives_ids_as_they_were_given(make, ids):
    made = make(embeddings(), ids)
    _, found = made.search(embeddings(), k=1)
    assert found[:, 0].tolist() == list(ids) == made.ids.tolist()
    assert made.ids.dtype.kind == ("U" if isinstance(ids[0], str) else "i")


@pytest.mark.parametrize("kind", [int, str])
def test_gives_the_labels_of_neighbours(make, kind):
    labels = [kind(i // 10) for i in range(SIZE)]
    made = make(embeddings(), labels=labels)
    _, ids, found = made.search(embeddings(8), k=3, return_labels=True)
    assert found.tolist() == [[labels[i] for i in row] for row in ids]
    assert made.labels.tolist() == labels


def test_knows_what_it_holds(make):
    made = make(embeddings(), similarity="dot")
    assert (made.size, made.dim, made.similarity) == (SIZE, DIM, "dot")
    assert made.labels is None


def test_no_queries_have_no_neighbours(make):
    scores, ids = make(embeddings()).search(np.empty((0, DIM)), k=3)
    assert scores.shape == ids.shape == (0, 3)


def test_two_indexes_answer_for_themselves(make, build):
    one, other = make(embeddings()), build(embeddings(seed=5))
    for made, seed in ((one, 0), (other, 5), (one, 0)):
        scores, ids = made.search(embeddings(seed=seed), k=1)
        assert (ids[:, 0] == np.arange(SIZE)).all()
        np.testing.assert_allclose(scores, 1.0, rtol=1e-6)


class TestBadInput:
    @pytest.mark.parametrize("k", [0, -1, SIZE + 1, 2.0, True, None])
    def test_k_must_fit_the_index(self, build, k):
        made = build(embeddings())
        message = f"`k` must be an integer from 1 to {SIZE}, the size of the index. Rec"
        with pytest.raises(ValueError, match=message):
            made.search(embeddings(1), k=k)
        with pytest.raises(ValueError, match=message):
            made.search_tensors(embeddings(1), k)

    @pytest.mark.parametrize("shape", [(2, DIM + 1), (DIM,), (1, 1, DIM)])
    def test_queries_must_have_the_size_of_the_index(self, build, shape):
        made, queries = build(embeddings()), np.ones(shape, "float32")
        for search in (made.search, made.search_tensors):
            with pytest.raises(ValueError, match="`queries` must .* Received: shape"):
                search(queries, 1)

    @pytest.mark.parametrize("value", [np.nan, np.inf, 1e300, 1e30])
    def test_queries_must_be_finite(self, build, value):
        queries = embeddings(3).astype("float64")
        queries[1, 2] = value
        message = "`queries` must be finite .* 1 of 3 rows, first in row 1"
        with pytest.raises(ValueError, match=message):
            build(embeddings()).search(queries, k=1)

    def test_queries_in_a_graph_must_be_finite(self, build):
        queries = np.full((1, DIM), np.nan, "float32")
        with pytest.raises(tf.errors.InvalidArgumentError, match="must be finite"):
            build(embeddings()).search_tensors(queries, 1)

    @pytest.mark.parametrize("value", [np.nan, -np.inf, 1e30])
    def test_embeddings_must_be_finite(self, build, value):
        gallery = embeddings()
        gallery[[4, 9], 0] = value
        with pytest.raises(ValueError, match=f"2 of {SIZE} rows, first in row 4"):
            build(gallery)

    @pytest.mark.parametrize(
        "gallery", [np.ones(5), np.ones((2, 3, 4)), [["a", "b"]], [[1j]]]
    )
    def test_embeddings_must_be_a_table_of_numbers(self, build, gallery):
        with pytest.raises(ValueError, match="`embeddings` must be numbers of the sh"):
            build(gallery)

    @pytest.mark.parametrize("shape", [(0, DIM), (SIZE, 0)])
    def test_embeddings_must_not_be_empty(self, build, shape):
        with pytest.raises(ValueError, match="at least one row and one column. Rec"):
            build(np.ones(shape))

    @pytest.mark.parametrize("name", ["ids", "labels"])
    def test_names_must_match_the_embeddings(self, build, name):
        with pytest.raises(ValueError, match=f"`{name}` must have one entry for each"):
            build(embeddings(), **{name: range(SIZE - 1)})

    @pytest.mark.parametrize("name", ["ids", "labels"])
    @pytest.mark.parametrize(
        "values",
        [
            np.arange(SIZE) / 2,
            np.arange(SIZE) > 3,
            [None] * SIZE,
            [b"bytes"] * SIZE,
            np.full(SIZE, 2**63, "uint64"),
        ],
        ids=["float", "bool", "None", "bytes", "uint64"],
    )
    def test_names_must_be_integers_or_strings(self, build, name, values):
        message = f"`{name}` must be integers .* or strings. Received: dtype"
        with pytest.raises(ValueError, match=message):
            build(embeddings(), **{name: values})

    def test_ids_must_be_distinct(self, build):
        ids = [f"{i}.png" for i in range(SIZE)]
        ids[7] = ids[3]
        with pytest.raises(ValueError, match="`ids` must be distinct.*such as '3.png'"):
            build(embeddings(), ids)

    def test_similarity_must_be_known(self, build):
        for similarity in ("l2", "manhattan"):
            with pytest.raises(
                ValueError, match=f"'euclidean'. Received.*{similarity}"
            ):
                build(embeddings(), similarity=similarity)

    def test_labels_asked_for_must_exist(self, build):
        with pytest.raises(ValueError, match="built without `labels`"):
            build(embeddings()).search(embeddings(1), k=1, return_labels=True)


def test_ties_are_in_the_order_of_storage():
    made = index.Exact.build(np.ones((5, 3)), list("edcba"))
    assert made.search(np.ones((1, 3)), k=4)[1].tolist() == [list("edcb")]


@pytest.mark.parametrize("storage", ["float16", "int8"])
@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_codes_find_what_float32_finds(storage, similarity):
    gallery, queries = embeddings(4000), embeddings(50, seed=1)
    gallery[0] = 0.0
    expected = index.Exact.build(gallery, similarity=similarity).search(queries, k=10)
    made = index.Exact.build(gallery, similarity=similarity, storage=storage)
    scores, ids = made.search(queries, k=10)
    # 6 dimensions of 1/254 of the largest each: nearly all, and 84 are scored again.
    assert np.mean(ids == expected[1]) > 0.99
    same = ids == expected[1]
    assert (scores[same] == expected[0][same]).all(), "scores are of float32"


def test_codes_alone_take_less_memory_and_score_by_rounding(tmp_path):
    gallery, queries = embeddings(2000), embeddings(20, seed=1)
    sizes = {}
    for storage, bound in (("float32", 1e-6), ("float16", 1e-3), ("int8", 1e-2)):
        made = index.Exact.build(gallery, storage=storage, rerank=False)
        version = made.save(tmp_path / storage)
        sizes[storage] = sum(
            f.stat().st_size
            for f in version.glob("*.npy")
            if f.stem not in ("ids", "scales")
        )
        scores, ids = index.load(tmp_path / storage, mmap=True).search(queries, k=3)
        unit, way = (x / np.linalg.norm(x, axis=1)[:, None] for x in (gallery, queries))
        exact = np.einsum("qkd,qd->qk", unit[ids], way)
        np.testing.assert_allclose(scores, exact, atol=bound)
    assert sizes["float32"] > 1.9 * sizes["float16"] > 3.6 * sizes["int8"]


def test_blocks_find_what_one_matrix_finds(monkeypatch):
    gallery, queries = embeddings(1003), embeddings(9, seed=1)
    gallery[700:760] = gallery[0]  # ties across blocks
    whole = index.Exact.build(gallery).search(queries, k=40)
    monkeypatch.setattr(scanning, "_NUMBERS_IN_BLOCK", 100 * DIM)
    parts = index.Exact.build(gallery).search(queries, k=40)
    for one, other in zip(whole, parts, strict=True):
        assert (one == other).all()


@pytest.mark.parametrize("storage", ["float32", "int8"])
def test_xla_finds_the_same(monkeypatch, storage):
    monkeypatch.setattr(scanning, "_NUMBERS_IN_BLOCK", 100 * DIM)
    gallery, queries = embeddings(1003), embeddings(9, seed=1)
    made = index.Exact.build(gallery, similarity="euclidean", storage=storage)
    made.remove([5])
    made.add(embeddings(3, seed=3), [2000, 2001, 2002])
    compiled = tf.function(lambda q: made.search_tensors(q, 5), jit_compile=True)
    scores, positions = compiled(queries)
    expected_scores, expected = made.search(queries, k=5)
    assert (made.ids[positions] == expected).all()
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-6)


def test_stored_embeddings_are_a_copy():
    gallery = embeddings()
    made = index.Exact.build(gallery, similarity="dot")
    expected = made.search(embeddings(3, seed=1), k=2)[0]
    gallery[:] = 0.0
    assert (made.search(embeddings(3, seed=1), k=2)[0] == expected).all()


def test_storage_must_be_known():
    with pytest.raises(ValueError, match="`storage` must be .* Received: 'int4'"):
        index.Exact.build(embeddings(), storage="int4")


class TestMetadata:
    VALUES = [{"path": f"ä/{i}\n.png", "size": [i, None]} for i in range(SIZE)]

    def test_is_given_back(self, make):
        made = make(embeddings(), metadata=self.VALUES)
        _, ids, found = made.search(embeddings(4), k=3, return_metadata=True)
        assert found.tolist() == [[self.VALUES[i] for i in row] for row in ids]
        assert json.loads(made.metadata[7]) == self.VALUES[7]

    def test_comes_after_labels(self):
        made = index.Exact.build(
            embeddings(), labels=range(SIZE), metadata=list("x" * SIZE)
        )
        found = made.search(
            embeddings(2), k=1, return_labels=True, return_metadata=True
        )
        assert [x.tolist() for x in found[2:]] == [[[0], [1]], [["x"], ["x"]]]

    def test_must_be_json(self):
        for bad in (object(), float("nan"), {1j}):
            values = [*self.VALUES[:-1], bad]
            with pytest.raises(ValueError, match="`metadata` must .* in row 59"):
                index.Exact.build(embeddings(), metadata=values)
        with pytest.raises(ValueError, match="`metadata` must have one entry for each"):
            index.Exact.build(embeddings(), metadata=[1])

    def test_asked_for_must_exist(self):
        with pytest.raises(ValueError, match="built without `metadata`"):
            index.Exact.build(embeddings()).search(
                embeddings(1), k=1, return_metadata=True
            )


class TestFilter:
    @pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
    def test_finds_the_nearest_of_some_labels(self, make, similarity):
        gallery, queries = embeddings(), embeddings(5, seed=1)
        labels = np.array([f"c{i % 6}" for i in range(SIZE)])
        made = make(gallery, labels=labels, similarity=similarity)
        for wanted in (["c3"], ["c1", "c4"]):
            scores, ids = made.search(queries, k=4, labels=wanted)
            inside = np.flatnonzero(np.isin(labels, wanted))
            for query, its_scores, found in zip(queries, scores, ids, strict=True):
                expected, rows = neighbours(query, gallery[inside], 4, similarity)
                assert found.tolist() == inside[rows].tolist()
                np.testing.assert_allclose(its_scores, expected, rtol=1e-4)

    def test_k_must_fit_what_it_leaves(self):
        made = index.Exact.build(embeddings(), labels=[i % 6 for i in range(SIZE)])
        with pytest.raises(ValueError, match=r"at most 10, .* the labels \[3\]. Rec"):
            made.search(embeddings(1), k=11, labels=3)
        for none in (["unknown"], []):
            with pytest.raises(ValueError, match="`labels` must be .* such as 0. Rece"):
                made.search(embeddings(1), k=1, labels=none)

    def test_needs_labels(self):
        with pytest.raises(ValueError, match="built without `labels`"):
            index.Exact.build(embeddings()).search(embeddings(1), k=1, labels=[3])


def test_integers_among_strings_are_refused():
    with pytest.raises(ValueError, match="`labels` must be all integers or all str"):
        index.Exact.build(embeddings(2), labels=["x", 3])


@pytest.mark.parametrize("bad", ["a\0", "\udc80"])
def test_text_that_would_not_survive_is_refused(bad):
    with pytest.raises(ValueError, match="`ids` must be text"):
        index.Exact.build(embeddings(2), ids=["x", bad])


def test_fingerprint_tells_embedders_apart(tmp_path):
    import keras

    one = keras.Sequential([keras.Input((3,)), keras.layers.Dense(DIM)])
    other = keras.models.clone_model(one)
    one.save(tmp_path / "one.keras")
    again = keras.saving.load_model(tmp_path / "one.keras")
    index.Exact.build(embeddings(), embedder=one).save(tmp_path / "index")
    loaded = index.load(tmp_path / "index", embedder=again)
    assert loaded.fingerprint == index.fingerprint(one)
    with pytest.raises(ValueError, match="are of another embedder"):
        index.load(tmp_path / "index", embedder=other)


def test_importing_the_package_loads_no_scann():
    code = "import sys, kerasdml.index; print('scann' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"
