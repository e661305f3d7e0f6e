"""What every index promises, whatever its engine, as built and as read from disk."""

import functools
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from kerasdml import index
from kerasdml.index import base, files

SIZE, DIM = 60, 6

# Each of these finds every neighbour, so results compare without tolerance for misses:
# the tree is searched whole and all candidates are scored exactly.
ENGINES = {
    "exact": index.Exact.build,
    "scann_scan": functools.partial(index.Scann.build, leaves=0),
    "scann_tree": functools.partial(
        index.Scann.build, leaves=6, leaves_to_search=6, reorder=SIZE
    ),
}


@pytest.fixture(params=ENGINES)
def build(request):
    if request.param != "exact":
        pytest.importorskip("scann", reason="needs scann (Linux x86-64)")
    return ENGINES[request.param]


@pytest.fixture(params=["built", "loaded"])
def make(request, build, tmp_path):
    """Builds an index, and where the stage is "loaded" saves it and reads it back."""

    def make(*args, **kwargs):
        made = build(*args, **kwargs)
        if request.param == "built":
            return made
        made.save(tmp_path / "index")
        return index.load(tmp_path / "index")

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
        monkeypatch.setattr(base, "_NUMBERS_AT_ONCE", 2 * (SIZE + 5 * DIM))
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
    def test_k_must_fit_the_index(self, make, k):
        made = make(embeddings())
        message = f"`k` must be an integer from 1 to {SIZE}, the size of the index. Rec"
        with pytest.raises(ValueError, match=message):
            made.search(embeddings(1), k=k)
        with pytest.raises(ValueError, match=message):
            made.search_tensors(embeddings(1), k)

    @pytest.mark.parametrize("shape", [(2, DIM + 1), (DIM,), (1, 1, DIM)])
    def test_queries_must_have_the_size_of_the_index(self, make, shape):
        made, queries = make(embeddings()), np.ones(shape, "float32")
        for search in (made.search, made.search_tensors):
            with pytest.raises(ValueError, match="`queries` must .* Received: shape"):
                search(queries, 1)

    @pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
    def test_queries_must_be_finite(self, make, value):
        queries = embeddings(3).astype("float64")
        queries[1, 2] = value
        message = "`queries` must be finite .* 1 of 3 rows, first in row 1"
        with pytest.raises(ValueError, match=message):
            make(embeddings()).search(queries, k=1)

    def test_queries_in_a_graph_must_be_finite(self, make):
        queries = np.full((1, DIM), np.nan, "float32")
        with pytest.raises(tf.errors.InvalidArgumentError, match="must be finite"):
            make(embeddings()).search_tensors(queries, 1)

    @pytest.mark.parametrize("value", [np.nan, -np.inf])
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

    def test_labels_asked_for_must_exist(self, make):
        with pytest.raises(ValueError, match="built without `labels`"):
            make(embeddings()).search(embeddings(1), k=1, return_labels=True)


class TestFiles:
    @pytest.fixture
    def saved(self, build, tmp_path):
        path = tmp_path / "deep" / "index"
        build(embeddings()).save(path)
        return path

    def test_are_arrays_and_a_manifest(self, saved):
        assert {file.suffix for file in saved.iterdir()} == {".json", ".npy"}
        assert not list(saved.parent.glob(".*")), "no draft is left"
        for file in saved.glob("*.npy"):
            np.load(file, allow_pickle=False)

    def test_can_be_read_by_whom_any_directory_can(self, saved):
        (saved.parent / "plain").mkdir()
        assert saved.stat().st_mode == (saved.parent / "plain").stat().st_mode

    def test_are_never_overwritten(self, saved):
        before = (saved / "index.json").read_bytes()
        with pytest.raises(FileExistsError, match="nothing is overwritten"):
            index.Exact.build(embeddings()).save(saved)
        assert (saved / "index.json").read_bytes() == before

    def test_of_the_slower_of_two_writers_are_dropped(self, tmp_path):
        path = tmp_path / "index"
        with (
            pytest.raises(FileExistsError, match="nothing is overwritten"),
            files.new_directory(path),
            files.new_directory(path) as faster,
        ):
            (faster / "kept").touch()
        assert [file.name for file in path.iterdir()] == ["kept"]
        assert list(tmp_path.iterdir()) == [path], "no draft is left"

    def test_appear_whole_or_not_at_all(self, build, tmp_path, monkeypatch):
        def full(*args, **kwargs):
            raise OSError("disk full")

        monkeypatch.setattr(np, "save", full)
        with pytest.raises(OSError, match="disk full"):
            build(embeddings()).save(tmp_path / "index")
        assert not list(tmp_path.iterdir())

    def test_load_by_their_own_class(self, saved):
        loaded = index.load(saved)
        assert type(loaded).load(saved).size == SIZE
        other = index.Scann if isinstance(loaded, index.Exact) else index.Exact
        with pytest.raises(ValueError, match=f"not '{other.__name__}'.*`index.load`"):
            other.load(saved)

    def test_load_with_the_expected_size_only(self, saved):
        assert index.load(saved, dim=DIM).dim == DIM
        with pytest.raises(ValueError, match=f"of size {DIM}. Received: dim=128"):
            index.load(saved, dim=128)

    def test_that_were_changed_are_refused(self, saved):
        for file in saved.glob("*.npy"):
            content = file.read_bytes()
            file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            with pytest.raises(ValueError, match=f"{file.name}' is missing or was cha"):
                index.load(saved)
            file.unlink()
            with pytest.raises(ValueError, match=f"{file.name}' is missing or was cha"):
                index.load(saved)
            file.write_bytes(content)
        assert index.load(saved).size == SIZE

    @pytest.mark.parametrize(
        "change, message",
        [
            ({"size": SIZE - 1}, "Copy or build the index anew"),
            ({"dim": DIM + 1}, "Copy or build the index anew"),
            ({"class": "Nearest"}, "unknown class 'Nearest'. Known classes: Exact"),
            ({"format": 2}, "has index format 2, but this kerasdml reads format 1"),
        ],
    )
    def test_must_agree_with_their_manifest(self, saved, change, message):
        manifest = saved / "index.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | change))
        with pytest.raises(ValueError, match=message):
            index.load(saved)

    @pytest.mark.parametrize("text", ["{", "[]", "{}"])
    def test_need_a_manifest_that_is_one(self, saved, text):
        (saved / "index.json").write_text(text)
        with pytest.raises(ValueError, match="is not the manifest of an index"):
            index.load(saved)

    def test_need_a_manifest(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no index at .* no 'index.json'"):
            index.load(tmp_path)


def test_ties_are_in_the_order_of_storage():
    made = index.Exact.build(np.ones((5, 3)), list("edcba"))
    assert made.search(np.ones((1, 3)), k=4)[1].tolist() == [list("edcb")]


def test_importing_the_package_loads_no_scann():
    code = "import sys, kerasdml.index; print('scann' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"
