import numpy as np
import pytest

from kerasdml import data


def test_strings_are_numbered_in_sorted_order():
    labels, classes = data.encode(["cat", "ant", "cat", "bee"], return_classes=True)
    np.testing.assert_array_equal(labels, [2, 0, 2, 1])
    assert labels.dtype == np.int64
    assert classes.tolist() == ["ant", "bee", "cat"]


@pytest.mark.parametrize(
    "ids",
    [
        ["b", "a", "b"],
        np.array(["b", "a", "b"]),
        [2**40, -3, 2**40],
        np.array([7, 3, 7], np.uint16),
        [("x", 2), ("x", 1), ("x", 2)],
        [None, "a", 1, None],
        [1, "1"],
        [0.5, 0.25, 0.5],
    ],
    ids=repr,
)
def test_classes_indexed_by_labels_give_the_ids_back(ids):
    labels, classes = data.encode(ids, return_classes=True)
    assert classes.shape == (len(set(labels)),)
    assert classes[labels].tolist() == list(ids)
    assert sorted(set(labels)) == list(range(len(classes)))


def test_ids_that_cannot_be_sorted_are_numbered_as_first_seen():
    np.testing.assert_array_equal(data.encode(["b", None, "a", "b"]), [0, 1, 2, 0])


def test_further_ids_follow_the_same_table():
    _, classes = data.encode(["c", "a", "b"], return_classes=True)
    np.testing.assert_array_equal(data.encode(["c", "c", "b"], classes), [2, 2, 1])
    assert data.encode([], classes).shape == (0,)


def test_an_id_outside_the_table_is_named():
    with pytest.raises(ValueError, match=r"Received 2 others, the first: \['x', 'y'\]"):
        data.encode(["a", "x", "y", "x"], classes=["a", "b"])


def test_a_table_that_repeats_an_id_is_refused():
    with pytest.raises(ValueError, match="3 ids, of which 2 are different"):
        data.encode(["a"], classes=["a", "b", "a"])


@pytest.mark.parametrize("ids", ["cat", b"cat", np.zeros((3, 1), int)], ids=repr)
def test_ids_must_be_a_sequence_of_one_axis(ids):
    with pytest.raises(ValueError, match="`ids` must be a sequence of ids, one per"):
        data.encode(ids)


@pytest.mark.parametrize("item", [float("nan"), np.float32("nan"), [1], {}], ids=repr)
def test_an_id_that_no_table_can_hold_is_named_with_its_position(item):
    with pytest.raises(ValueError, match="not NaN. Received at position 1"):
        data.encode(["a", item])


def test_at_least_keeps_the_positions_of_large_classes():
    # Class 5 has three examples, 9 two, 1 one.
    labels = [5, 9, 5, 1, 9, 5]
    np.testing.assert_array_equal(data.at_least(labels, 2), [0, 1, 2, 4, 5])
    np.testing.assert_array_equal(data.at_least(labels, 3), [0, 2, 5])
    assert data.at_least(labels, 4).size == 0
