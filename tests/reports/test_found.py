import numpy as np
import pytest

from kerasdml.reports import found
from kerasdml.reports.evaluated import Evaluated, Examples


def examples(embeddings, codes):
    embeddings = np.asarray(embeddings, "float32").reshape(len(codes), -1)
    ids = [str(i) for i in range(len(codes))]
    return Examples(embeddings, np.asarray(codes), ids, None)


def searching(queries, gallery=None):
    return Evaluated(queries, gallery or queries, list("ABC"), "euclidean")


@pytest.fixture
def line():
    """On a line A A A B B C at 0, 1, 4, 2.2, 5, 9."""
    return searching(examples([0, 1, 4, 2.2, 5, 9], [0, 0, 0, 1, 1, 2]))


def test_neighbours_are_ranked_and_nobody_finds_itself(line):
    nearest = found.nearest_neighbours(line, 5, chunk_size=4)
    assert nearest.tolist() == [
        [1, 3, 2, 4, 5],
        [0, 3, 2, 4, 5],
        [4, 3, 1, 0, 5],
        [1, 2, 0, 4, 5],
        [2, 3, 1, 5, 0],
        [4, 2, 3, 1, 0],
    ]


@pytest.mark.parametrize("chunk_size", [1, 2, None])
def test_the_worst_mistake_is_first_and_lone_queries_make_none(line, chunk_size):
    first = found.nearest_neighbours(line, 1)[:, 0]
    wrong = found.mistakes(line, first, chunk_size)
    # Query 2 has B at 1 and A at 3; query 3 A at 1.2 and B at 2.8; query 4 A at 1 and B
    # at 2.8: differences of 2, 1.6 and 1.8. Query 5 is alone in C.
    assert wrong.queries.tolist() == [2, 4, 3]
    assert wrong.right.tolist() == [1, 3, 4]
    np.testing.assert_allclose(wrong.wrong_scores, [-1, -1, -1.2], rtol=1e-6)
    np.testing.assert_allclose(wrong.right_scores, [-3, -2.8, -2.8], rtol=1e-6)
    # All are between A and B.
    classes = line.queries.codes
    one = found.of_different_classes(wrong, classes, classes[first], 9)
    assert one.queries.tolist() == [2]


def test_without_mistakes_all_is_empty():
    data = searching(examples([0, 1, 8, 9], [0, 0, 1, 1]))
    codes, first = data.queries.codes, np.array([1, 0, 3, 2])
    wrong = found.mistakes(data, first)
    assert len(found.of_different_classes(wrong, codes, codes[first], 5).queries) == 0
    assert len(found.confusions(codes, codes[first]).counts) == 0


def test_a_gallery_is_searched_whole():
    data = searching(examples([0, 5], [0, 2]), examples([0, 1, 6], [1, 0, 2]))
    nearest = found.nearest_neighbours(data, 3)
    assert nearest.tolist() == [[0, 1, 2], [2, 1, 0]]
    wrong = found.mistakes(data, nearest[:, 0])
    assert (wrong.queries.tolist(), wrong.right.tolist()) == ([0], [1])
    assert (wrong.wrong_scores, wrong.right_scores) == (0, -1)


def test_confusions_are_counted_by_class_the_most_first():
    codes = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2])
    taken_for = np.array([1, 1, 2, 0, 0, 1, 0, 0, 2])
    confused = found.confusions(codes, taken_for)
    assert list(zip(*confused, strict=True)) == [
        (2, 0, 2, pytest.approx(2 / 3)),
        (0, 1, 2, 0.5),
        (1, 0, 1, 0.5),
        (0, 2, 1, 0.25),
    ]
    shares = found.confusion_shares(codes, taken_for, np.array([2, 0]))
    np.testing.assert_allclose(shares, [[1 / 3, 2 / 3, 0], [0.25, 0.25, 0.5]])


def test_few_classes_are_shown_all_of_many_the_confused_side_by_side():
    codes = np.repeat([0, 1, 2, 3, 4], [1, 1, 2, 1, 5])
    taken_for = codes.copy()
    taken_for[[0, 3]] = [3, 1]  # class 0 is taken for 3, one of two of class 2 for 1
    confused = found.confusions(codes, taken_for)
    assert found.notable_classes(codes, confused, 5).tolist() == [0, 1, 2, 3, 4]
    assert found.notable_classes(codes, confused, 4).tolist() == [0, 3, 2, 1]
    confused = found.confusions(codes, codes)
    assert found.notable_classes(codes, confused, 2).tolist() == [4, 2]


def test_classes_of_the_gallery_alone_are_no_rows():
    codes, taken_for = np.array([0, 0, 2]), np.array([1, 0, 1])
    confused = found.confusions(codes, taken_for)
    assert found.notable_classes(codes, confused, 2).tolist() == [0, 2]
    shares = found.confusion_shares(codes, taken_for, np.array([0, 2]))
    np.testing.assert_allclose(shares, [[0.5, 0, 0.5], [0, 0, 1]])
