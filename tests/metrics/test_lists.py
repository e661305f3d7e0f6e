"""The metrics of single ranked lists, by hand."""

import numpy as np
import pytest

from kerasdml.metrics import map_at_r, precision_at_k, r_precision, recall_at_k

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
