"""Several indexes are searched as one."""

import numpy as np
import pytest
import tensorflow as tf

from kerasdml import index

DIM, SIZE = 24, 500


def gallery():
    vectors = np.random.default_rng(0).normal(size=(SIZE, DIM)).astype("float32")
    # Ties within and across shards.
    vectors[[90, 130, 131, 400]] = vectors[7]
    return vectors


def queries(count=11):
    return np.random.default_rng(1).normal(size=(count, DIM)).astype("float32")


def cut(build=index.Exact.build, at=(0, 100, 130, SIZE), **kwargs):
    ids, labels = np.arange(SIZE) * 3, np.arange(SIZE) % 7
    return [
        build(
            gallery()[a:b], ids[a:b], labels[a:b], metadata=ids[a:b].tolist(), **kwargs
        )
        for a, b in zip(at, at[1:], strict=False)
    ]


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_shards_find_bit_by_bit_what_one_index_finds(similarity):
    (one,) = cut(at=(0, SIZE), similarity=similarity)
    sharded = index.Sharded(cut(similarity=similarity))
    asked = np.concatenate([queries(), gallery()[[7, 8, 400]]])
    for k, kwargs in ((1, {}), (12, {}), (200, {}), (5, {"labels": [1, 3]})):
        kwargs |= {"return_labels": True, "return_metadata": True}
        expected, found = (i.search(asked, k=k, **kwargs) for i in (one, sharded))
        for mine, theirs in zip(found, expected, strict=True):
            assert (mine == theirs).all()
    graph = tf.function(lambda q: sharded.search_tensors(q, 9))
    _, positions = graph(asked)
    assert (sharded.ids[positions] == one.search(asked, k=9)[1]).all()


def test_changes_go_to_the_shard_that_holds_the_item(tmp_path):
    sharded = index.Sharded(cut())
    (one,) = cut(at=(0, SIZE))
    new = {"labels": [5, 5], "metadata": ["a", "b"]}
    for changed in (one, sharded):
        changed.add(queries(2), [1, 2], **new)
        changed.update(queries(4)[2:], [3, 1497], **new)
        changed.remove([300, 600])
    for _ in range(2):
        expected, found = (i.search(queries(), k=8) for i in (one, sharded))
        assert (found[1] == expected[1]).all() and (found[0] == expected[0]).all()
        assert [part.size for part in sharded.parts] == [100, 31, 369]
        sharded.compact()
        sharded.save(tmp_path / "index")
        sharded = index.load(tmp_path / "index", mmap=True)
    assert index.versions(tmp_path / "index") == [1, 2]
    with pytest.raises(ValueError, match="stored already, such as 1. Rep"):
        sharded.add(queries(1), [1], labels=[0], metadata=[0])
    with pytest.raises(ValueError, match="not, such as 4"):
        sharded.remove([3, 4])
    bad = np.full((2, DIM), [[1.0], [np.nan]])
    with pytest.raises(ValueError, match="`embeddings` must be finite"):
        sharded.update(bad, [6, 1200], **new)
    with pytest.raises(ValueError, match="Each part must keep one .* 31 ids of part 1"):
        sharded.remove(sharded.parts[1].ids)
    found = sharded.search(queries(), k=8)
    assert (found[1] == expected[1]).all() and (found[0] == expected[0]).all()


def test_shards_may_be_approximate(tmp_path):
    pytest.importorskip("scann", reason="needs scann (Linux x86-64)")
    parts = cut(index.Scann.build, leaves=5, leaves_to_search=5, reorder=500)
    index.Sharded(parts).save(tmp_path / "index")
    (one,) = cut(at=(0, SIZE))
    loaded = index.load(tmp_path / "index")
    expected, found = (i.search(queries(), k=8) for i in (one, loaded))
    assert (found[1] == expected[1]).all()
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    assert loaded.op_namespaces == ("Scann",)


def test_a_changed_part_is_refused(tmp_path):
    version = index.Sharded(cut()).save(tmp_path / "index")
    for name in ("part_1/embeddings.npy", "part_2/index.json", "index.json"):
        file = version / name
        content = file.read_bytes()
        file.write_bytes(content[:-9] + bytes([content[-9] ^ 4]) + content[-8:])
        with pytest.raises(ValueError, match="index"):
            index.load(tmp_path / "index")
        file.write_bytes(content)
    assert index.load(tmp_path / "index").size == SIZE


@pytest.mark.parametrize(
    "parts, message",
    [
        ([], "one at least. Received"),
        ([index.Exact.build(np.eye(3)), index.Exact.build(np.eye(4))], "embedding siz"),
        ([index.Exact.build(np.eye(3))] * 2, "may share an id. Received: 0 more than"),
        (
            [index.Exact.build(np.eye(1)), index.Exact.build(np.eye(1), ["a"])],
            "types of ids",
        ),
    ],
)
def test_parts_must_fit_together(parts, message):
    with pytest.raises(ValueError, match=message):
        index.Sharded(parts)
