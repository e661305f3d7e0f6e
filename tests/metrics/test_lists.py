"""The metrics of single ranked lists, by hand."""

import numpy as np
import pytest

from kerasdml.metrics import (
    graded_ndcg_at_k,
    map_at_all,
    map_at_k,
    map_at_r,
    mrr,
    ndcg_at_k,
    precision_at_k,
    r_precision,
    recall_at_k,
    share_found_at_k,
    voc_map_at_all,
)

LISTS = np.array(
    [
        [True, False, True, False],
        [False, True, True, False],
        [False, False, False, True],
        [True, True, True, True],
        [False, False, False, False],
    ]
)
COUNTS = np.array([2, 3, 1, 4, 0])


@pytest.mark.parametrize("k, hits", [(1, [1, 0, 0, 1, 0]), (4, [1, 1, 1, 1, 0])])
def test_recall_is_one_for_any_hit(k, hits):
    np.testing.assert_array_equal(recall_at_k(LISTS, k), hits)


def test_precision_is_the_share_of_hits():
    np.testing.assert_array_equal(precision_at_k(LISTS, 2), [0.5, 0.5, 0, 1, 0])
    np.testing.assert_array_equal(precision_at_k(LISTS, 4), [0.5, 0.5, 0.25, 1, 0])


def test_r_precision_cuts_every_list_at_its_own_r():
    np.testing.assert_allclose(r_precision(LISTS, COUNTS), [1 / 2, 2 / 3, 0, 1, 0])


def test_map_at_r_divides_by_r_not_by_the_hits():
    # The second list: precisions 1/2 at rank 2 and 2/3 at rank 3, over R = 3.
    expected = [1 / 2, (1 / 2 + 2 / 3) / 3, 0, 1, 0]
    np.testing.assert_allclose(map_at_r(LISTS, COUNTS), expected)


@pytest.mark.parametrize("metric", [r_precision, map_at_r])
def test_refuses_lists_shorter_than_r(metric):
    with pytest.raises(ValueError, match=r"Received: depth=3, max\(counts\)=4"):
        metric(LISTS[:, :3], COUNTS)


def lists(*rows):
    """Ranked lists given as digits, padded, and how many relevant items each holds."""
    depth = max(map(len, rows))
    relevance = np.array([[d == "1" for d in row.ljust(depth, "0")] for row in rows])
    return relevance, relevance.sum(axis=1)


def test_share_found_divides_by_all_there_are():
    expected = [1 / 2, 1 / 3, 0, 2 / 4, 0]
    np.testing.assert_allclose(share_found_at_k(LISTS, COUNTS, 2), expected)


def test_reciprocal_rank_of_the_first_hit():
    np.testing.assert_allclose(mrr(LISTS), [1, 1 / 2, 1 / 4, 1, 0])


def test_map_at_k_divides_by_what_can_be_found_or_by_r():
    # Precisions at hits: 1 and 2/3; 1/2 and 2/3; 1/4; 1, 1, 1.
    np.testing.assert_allclose(
        map_at_k(LISTS, COUNTS, 3), [5 / 6, 7 / 18, 0, 1, 0], rtol=1e-12
    )
    np.testing.assert_allclose(
        map_at_k(LISTS, COUNTS, 3, normalize="R"), [5 / 6, 7 / 18, 0, 3 / 4, 0]
    )
    with pytest.raises(ValueError, match="must be 'min' or 'R'. Received: .*'max'"):
        map_at_k(LISTS, COUNTS, 3, normalize="max")


def test_map_at_all_and_its_envelope():
    relevance, counts = lists("011", "101", "01011", "000")
    expected = [0.583333, 0.833333, 0.533333, 0]
    np.testing.assert_allclose(map_at_all(relevance, counts), expected, atol=1e-6)
    expected = [2 / 3, 0.833333, 0.6, 0]
    np.testing.assert_allclose(voc_map_at_all(relevance, counts), expected, atol=1e-6)


@pytest.mark.parametrize("metric", [map_at_all, voc_map_at_all])
def test_refuses_lists_that_are_not_whole(metric):
    with pytest.raises(ValueError, match="2 lists that do not, of query 1 first"):
        metric(LISTS[:, :3], np.array([2, 3, 1, 3, 0]))


def test_ndcg_of_known_lists():
    relevance = lists("1010", "0110", "0001", "1100")[0]
    counts = np.array([2, 2, 1, 5])
    expected = [0.9197208, 0.6934264, 0.4306766, 0.6366824]
    np.testing.assert_allclose(ndcg_at_k(relevance, counts, 4), expected, rtol=1e-6)
    np.testing.assert_allclose(ndcg_at_k(relevance, counts, 2)[3], 1.0)
    # Of one item it is the precision, and of a query without relevant items 0.
    np.testing.assert_allclose(ndcg_at_k(LISTS, COUNTS, 1), [1, 0, 0, 1, 0])


def test_ndcg_of_grades():
    # Gains 1, 3, 0: 1 + 3 / log2(3) of 3 + 1 / log2(3).
    found = graded_ndcg_at_k(np.array([[1, 2, 0]]), np.array([[2, 1, 0]]), 3)
    np.testing.assert_allclose(found, 0.7967076, rtol=1e-6)
    nothing = np.zeros((1, 3))
    assert graded_ndcg_at_k(nothing, nothing, 3) == 0.0


@pytest.mark.parametrize("k", [1, 3, 10])
def test_ndcg_agrees_with_scikit_learn(k):
    sklearn = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    grades = generator.integers(0, 4, size=(20, 10))
    scores = np.tile(-np.arange(10.0), (20, 1))
    best = -np.sort(-grades, axis=1)
    found = graded_ndcg_at_k(grades, best, k)
    expected = sklearn.ndcg_score(2.0**grades - 1, scores, k=k)
    np.testing.assert_allclose(found.mean(), expected, rtol=1e-12)
    relevance = grades > 1
    found = ndcg_at_k(relevance, relevance.sum(axis=1), k)
    expected = sklearn.ndcg_score(relevance, scores, k=k)
    np.testing.assert_allclose(found.mean(), expected, rtol=1e-12)


def test_map_at_all_agrees_with_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    relevance = np.random.default_rng(0).random((20, 30)) < 0.3
    expected = [
        sklearn.average_precision_score(row, -np.arange(30.0)) for row in relevance
    ]
    found = map_at_all(relevance, relevance.sum(axis=1))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
