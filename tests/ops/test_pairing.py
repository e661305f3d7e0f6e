import numpy as np

from kerasdml.ops import pair_in_order


def test_pairs_first_with_second_and_third_with_fourth():
    labels = np.array([7, 2, 7, 7, -1, 2, 7, 7, -1, 5])
    partners, is_anchor, is_positive = (np.asarray(x) for x in pair_in_order(labels))
    np.testing.assert_array_equal(np.argwhere(partners), [[0, 2], [1, 5], [3, 6]])
    np.testing.assert_array_equal(np.flatnonzero(is_anchor), [0, 1, 3])
    np.testing.assert_array_equal(np.flatnonzero(is_positive), [2, 5, 6])
