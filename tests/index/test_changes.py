"""Indexes that change find what an index built anew of the same items finds."""

import json

import numpy as np
import pytest
import tensorflow as tf

from kerasdml import index
from kerasdml.index import delta, scanning

DIM = 5

# Each of these finds every neighbour.
ENGINES = {
    "exact": dict,
    "int8": lambda: {"storage": "int8"},
    "scann": lambda: {"leaves": 4, "leaves_to_search": 4, "reorder": 500},
}


@pytest.fixture(params=ENGINES)
def build(request):
    kind = index.Exact
    if request.param == "scann":
        pytest.importorskip("scann", reason="needs scann (Linux x86-64)")
        kind = index.Scann
    return lambda *args, **kwargs: kind.build(
        *args, **kwargs, **ENGINES[request.param]()
    )


def vectors(count, seed):
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype("float32")


class Model:
    """What an index should hold, in a dict in the order of storage."""

    def __init__(self, embeddings, ids):
        self.items = dict(zip(ids, embeddings, strict=True))

    def put(self, embeddings, ids):
        for identifier, row in zip(ids, embeddings, strict=True):
            self.items.pop(identifier, None)
            self.items[identifier] = row

    def neighbours(self, query, k, similarity):
        """`k` ids and scores, one comparison at a time in float64."""
        scores = {}
        for identifier, row in self.items.items():
            a, b = query.astype("float64"), row.astype("float64")
            scores[identifier] = (
                -np.linalg.norm(a - b)
                if similarity == "euclidean"
                else a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            )
        best = sorted(scores, key=lambda i: -scores[i])[:k]
        return best, [scores[i] for i in best]


def check(made, model, similarity, in_graph):
    """The index holds and finds what the model does."""
    assert made.ids.tolist() == list(model.items)
    assert made.labels.tolist() == [f"label of {i}" for i in model.items]
    assert [json.loads(text) for text in made.metadata] == [
        {"id": i} for i in model.items
    ]
    queries = vectors(4, seed=99)
    k = min(7, made.size)
    scores, ids, labels = made.search(queries, k=k, return_labels=True)
    assert labels.tolist() == [[f"label of {i}" for i in row] for row in ids]
    if in_graph:
        positions = tf.function(lambda q: made.search_tensors(q, k))(queries)[1]
        assert (made.ids[positions] == ids).all()
    only = made.labels[: k + 1].tolist()
    _, among = made.search(queries, k=1, labels=only)
    for row, query in enumerate(queries):
        expected, expected_scores = model.neighbours(query, k, similarity)
        assert ids[row].tolist() == expected
        np.testing.assert_allclose(scores[row], expected_scores, rtol=1e-4)
        whole, _ = model.neighbours(query, made.size, similarity)
        inside = [i for i in whole if f"label of {i}" in only]
        assert among[row, 0] == inside[0]


def names(ids):
    return {
        "labels": [f"label of {i}" for i in ids],
        "metadata": [{"id": int(i)} for i in ids],
    }


def test_every_change_is_found_and_survives(build, tmp_path, request):
    similarity = "euclidean" if "int8" in request.node.name else "cosine"
    first = list(range(40))
    made = build(vectors(40, 0), first, similarity=similarity, **names(first))
    model = Model(vectors(40, 0), first)
    rng = np.random.default_rng(1)
    steps = ["add", "remove", "update", "save", "add", "remove", "compact", "update"]
    for step, what in enumerate([*steps, "remove", "save", "add", "save", "compact"]):
        some = rng.choice(list(model.items), size=6, replace=False).tolist()
        if what == "add":
            # More than there is room for at once.
            new = [1000 * (step + 1) + i for i in range(20)]
            made.add(vectors(20, step), new, **names(new))
            model.put(vectors(20, step), new)
        elif what == "update":
            made.update(vectors(6, step), some, **names(some))
            model.put(vectors(6, step), some)
        elif what == "remove":
            made.remove(some)
            for identifier in some:
                del model.items[identifier]
        elif what == "compact":
            made.compact()
        else:
            made.save(tmp_path / "index")
            made = index.load(tmp_path / "index", mmap=step % 2 == 1)
        check(made, model, similarity, in_graph=step in (2, 9, 10))
    made.save(tmp_path / "index")
    assert index.versions(tmp_path / "index") == [1, 2, 3, 4]


def test_all_that_an_engine_was_built_of_can_be_replaced(build):
    made = build(vectors(30, 0), labels=range(30))
    made.update(vectors(30, 1), np.arange(30), labels=range(30))
    scores, ids = made.search(vectors(30, 1), k=1)
    assert (ids[:, 0] == np.arange(30)).all()
    made.remove(range(29))
    assert made.search(vectors(2, 1), k=1)[1].tolist() == [[29], [29]]


@pytest.mark.parametrize("labels", [None, [1]])
def test_what_was_added_is_compared_in_blocks_too(monkeypatch, labels):
    def found():
        made = index.Exact.build(vectors(30, 0), labels=[0] * 30)
        made.add(vectors(300, 1), range(30, 330), labels=[1] * 300)
        made.remove(range(40, 50))
        return made.search(vectors(4, 2), k=9, labels=labels)

    compare, rows_at_once = scanning.comparable, []

    def comparable(queries, rows, similarity):
        rows_at_once.append(rows.shape[0])
        return compare(queries, rows, similarity)

    whole = found()
    monkeypatch.setattr(scanning, "_NUMBERS_IN_BLOCK", 64 * DIM)
    for module in (scanning, delta):
        monkeypatch.setattr(module, "comparable", comparable)
    parts = found()
    assert max(rows_at_once) == 64
    assert all((a == b).all() for a, b in zip(whole, parts, strict=True))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda i: i.add(vectors(1, 1), [3]), "`ids` must be new. .* such as 3. Rep"),
        (lambda i: i.add(vectors(1, 1), ["x"]), "`ids` must be integers, as those"),
        (lambda i: i.add(vectors(2, 1), [50, 50]), "`ids` must be distinct"),
        (lambda i: i.add(np.ones((1, 3)), [50]), r"shape \(n, 5\). Received"),
        (lambda i: i.add(vectors(1, 1), [50], ["a"]), "`labels` must be none, as th"),
        (lambda i: i.add(vectors(1, 1) * np.nan, [50]), "`embeddings` must be finite"),
        (lambda i: i.update(vectors(1, 1), [50]), "1 that are not, such as 50"),
        (lambda i: i.remove([50]), "`ids` must be stored in the index"),
        (lambda i: i.remove([3, 3]), "`ids` must be distinct"),
        (lambda i: i.remove(range(30)), "must keep one embedding at least"),
    ],
)
def test_changes_that_do_not_fit_change_nothing(change, message):
    made = index.Exact.build(vectors(30, 0))
    before = made.search(vectors(3, 1), k=30)
    with pytest.raises(ValueError, match=message):
        change(made)
    after = made.search(vectors(3, 1), k=30)
    assert all((a == b).all() for a, b in zip(before, after, strict=True))
    assert made.size == 30


def test_an_interrupted_compact_leaves_the_index_as_it_was(build, monkeypatch):
    made = build(vectors(30, 0))
    made.add(vectors(3, 1), [50, 51, 52])
    made.remove([4])
    before = made.search(vectors(3, 2), k=20)

    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(made), "_built_anew", interrupted)
        with pytest.raises(KeyboardInterrupt):
            made.compact()
    for compacted in (False, True):
        after = made.search(vectors(3, 2), k=20)
        assert (after[1] == before[1]).all()
        np.testing.assert_allclose(after[0], before[0], rtol=1e-5, atol=1e-6)
        if not compacted:
            made.compact()
