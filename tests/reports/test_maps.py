import importlib.util

import numpy as np
import pytest

from kerasdml.reports import maps


def test_a_map_has_whole_classes_the_named_ones_first():
    codes = np.repeat(np.arange(100), 10)
    rows = maps.choose_points(codes, [7, 93], 200, seed=0)
    counts = np.bincount(codes[rows], minlength=100)
    assert counts[7] == counts[93] == 10 and sorted(counts)[-20:] == [10] * 20
    assert len(rows) == 200 and list(rows) == sorted(set(rows))
    assert rows.tolist() == maps.choose_points(codes, [7, 93], 200, seed=0).tolist()
    assert rows.tolist() != maps.choose_points(codes, [7, 93], 200, seed=1).tolist()


def test_no_large_class_fills_a_map():
    codes = np.repeat([0, 1], [1000, 30])
    counts = np.bincount(codes[maps.choose_points(codes, [0, 1], 100, seed=0)])
    assert counts.tolist() == [50, 30]


def test_cosine_is_mapped_without_lengths():
    e = np.array([[3.0, 4.0], [0.0, 2.0]], "float32")
    np.testing.assert_allclose(maps.as_euclidean(e, "cosine"), [[0.6, 0.8], [0, 1]])
    assert maps.as_euclidean(e, "euclidean") is e
    assert maps.as_euclidean(e[:, :1], "dot").tolist() == [[3, 0], [0, 0]]


def test_pca_says_what_it_keeps():
    pytest.importorskip("sklearn")
    # Variances 4 : 1 : 0 along the axes, but for their mean.
    e = np.array([[2, 0, 7], [-2, 0, 7], [0, 1, 7], [0, -1, 7]], "float32")
    points, kept = maps.pca(e)
    assert kept == pytest.approx(1)
    np.testing.assert_allclose(np.abs(points), np.abs(e[:, :2]), atol=1e-6)


def test_tsne_keeps_neighbours():
    pytest.importorskip("sklearn")
    codes = np.repeat([0, 1, 2], 8)
    e = np.eye(3)[codes] + np.random.default_rng(0).normal(0, 0.02, (24, 3))
    points = maps.tsne(e, seed=0)
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (codes[distances.argmin(axis=1)] == codes).all()


def test_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'kerasdml\[report\]'"):
        maps.check_sklearn()
