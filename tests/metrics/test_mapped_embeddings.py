"""Embeddings in a memory-mapped file."""

import tracemalloc

import numpy as np
import pytest

from kerasdml.metrics import comparison, retrieval


@pytest.fixture
def mapped(tmp_path):
    def mapped(array):
        np.save(tmp_path / "embeddings.npy", array)
        return np.load(tmp_path / "embeddings.npy", mmap_mode="r")

    return mapped


def clouds(size, dim, dtype):
    rng = np.random.default_rng(0)
    labels = rng.integers(20, size=size)
    embeddings = rng.normal(size=(20, dim))[labels] + rng.normal(size=(size, dim))
    embeddings[rng.integers(size, size=9)] = embeddings[rng.integers(size, size=9)]
    return embeddings.astype(dtype), labels


@pytest.mark.parametrize("similarity", ["cosine", "euclidean", "signal_to_noise"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_file_read_in_pieces_scores_as_the_array(
    mapped, monkeypatch, similarity, dtype
):
    embeddings, labels = clouds(300, 8, dtype)
    names = ("recall_at_k", "map_at_r", "map_at_all")
    options = {"metrics": names, "similarity": similarity}
    expected = retrieval(embeddings, labels, **options)
    monkeypatch.setattr(comparison, "BLOCK", 70 * 8)
    file = mapped(embeddings)
    assert retrieval(file, labels, **options) == pytest.approx(expected)
    apart = retrieval(embeddings[:50], labels[:50], file, labels, **options)
    assert apart == pytest.approx(
        retrieval(embeddings[:50], labels[:50], embeddings, labels, **options)
    )


def test_a_file_is_never_copied_whole(mapped, monkeypatch):
    embeddings, labels = clouds(10_000, 256, "float16")
    file, size = mapped(embeddings), embeddings.nbytes
    queries, query_labels = embeddings[:20], labels[:20]
    monkeypatch.setattr(comparison, "BLOCK", 2**16)
    options = {"similarity": "euclidean"}
    retrieval(queries, query_labels, file, labels, **options)  # compiles, on JAX
    tracemalloc.start()
    retrieval(queries, query_labels, file, labels, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < size


def test_names_the_row_of_a_file_that_is_not_finite(mapped):
    embeddings, labels = clouds(300, 8, "float32")
    embeddings[123, 4] = np.nan
    with pytest.raises(ValueError, match="1 of 300 rows hold NaN .* row 123 first"):
        retrieval(mapped(embeddings), labels)
