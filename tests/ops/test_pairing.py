import numpy as np

from kerasdml.ops import centered, pair_in_order, paired_views


def test_pairs_first_with_second_and_third_with_fourth():
    labels = np.array([7, 2, 7, 7, -1, 2, 7, 7, -1, 5])
    partners, is_anchor, is_positive = (np.asarray(x) for x in pair_in_order(labels))
    np.testing.assert_array_equal(np.argwhere(partners), [[0, 2], [1, 5], [3, 6]])
    np.testing.assert_array_equal(np.flatnonzero(is_anchor), [0, 1, 3])
    np.testing.assert_array_equal(np.flatnonzero(is_positive), [2, 5, 6])


def test_views_of_an_image_stand_side_by_side():
    embeddings = np.arange(1.0, 13.0, dtype="float32").reshape(6, 2)
    labels = np.array([4, 2, 4, -1, 4, 2])
    first, second, paired = (np.asarray(x) for x in paired_views(labels, embeddings))
    np.testing.assert_array_equal(paired, [1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(first[:2], embeddings[[0, 1]])
    np.testing.assert_array_equal(second[:2], embeddings[[2, 5]])
    assert not first[2:].any() and not second[2:].any()


def test_centres_at_the_mean_of_the_given_rows():
    x = np.array([[1.0, 2.0], [70.0, 70.0], [3.0, 6.0]], "float32")
    found = centered(x, np.array([True, False, True]))
    np.testing.assert_array_equal(found, [[-1, -2], [0, 0], [1, 2]])
    np.testing.assert_array_equal(centered(x, np.zeros(3, bool)), np.zeros((3, 2)))
