import numpy as np
import pytest
from keras import ops as tensors

from kerasdml import ops


def definition(labels, reference_labels, copy_of):
    """The kind of each pair, one at a time."""
    shape = len(labels), len(reference_labels)
    positives, negatives = np.zeros(shape, bool), np.zeros(shape, bool)
    for i, a in enumerate(labels):
        for j, b in enumerate(reference_labels):
            if -1 in (a, b) or copy_of[j] == i:
                continue
            positives[i, j], negatives[i, j] = a == b, a != b
    return positives, negatives


def test_pairs_worked_by_hand():
    labels = np.array([5, 5, 7])
    positives, negatives = ops.pair_masks(labels, labels, np.arange(3))
    np.testing.assert_array_equal(positives, [[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(negatives, [[0, 0, 1], [0, 0, 1], [1, 1, 0]])


def test_pairs_agree_with_the_definition():
    generator = np.random.default_rng(0)
    labels = generator.integers(-1, 4, size=9)
    added = generator.integers(-1, 4, size=8)
    references = np.concatenate([labels, added, labels[:3]])
    copy_of = np.concatenate([np.arange(9), np.full(8, -1), np.arange(3)])
    np.testing.assert_array_equal(
        ops.pair_masks(labels, references, copy_of),
        definition(labels, references, copy_of),
    )


def test_labels_that_float32_would_merge_stay_apart():
    labels = np.array([2**24, 2**24 + 1], "int32")
    positives, negatives = ops.pair_masks(labels, labels, np.arange(2))
    assert not np.any(positives)
    np.testing.assert_array_equal(negatives, [[0, 1], [1, 0]])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint16", "int32", "int64"])
def test_labels_are_flattened_and_wide_enough_for_minus_one(dtype):
    for shape in ((2,), (2, 1)):
        labels = ops.flatten_labels(np.array([3, 100], dtype).reshape(shape))
        np.testing.assert_array_equal(labels, [3, 100])
        np.testing.assert_array_equal(tensors.add(labels, -101), [-98, -1])


@pytest.mark.parametrize("shape", [(), (2, 2), (1, 2), (2, 1, 1)])
def test_labels_of_another_shape_are_rejected(shape):
    with pytest.raises(ValueError, match=r"of shape \(q,\) or \(q, 1\). Received: sha"):
        ops.flatten_labels(np.zeros(shape, int))


TAGS = np.array([(1, 1, 0), (1, 0, 0), (1, 1, 0), (0, 0, 1), (1, 0, 1), (0, 0, 0)])


def test_tags_compare_by_jaccard_similarity():
    # In both over in either: of 110 and 100 1 / 2, of 110 and 101 1 / 3.
    alike = ops.tag_similarities(TAGS.astype("float32"), TAGS.astype("float32"))
    np.testing.assert_allclose(alike[0], [1, 1 / 2, 1, 0, 1 / 3, 0], rtol=1e-6)
    np.testing.assert_array_equal(alike[5], np.zeros(6))


def test_grades_compare_by_tanimoto():
    # (1, 0.5) and (0.5, 0): 0.5 over 1.25 + 0.25 - 0.5.
    a, b = np.array([[1, 0.5]], "float32"), np.array([[0.5, 0]], "float32")
    np.testing.assert_allclose(ops.tag_similarities(a, b), [[0.5]], rtol=1e-6)


def test_pairs_of_tags_between_the_thresholds_are_neither():
    tags = ops.standardize_labels(TAGS)
    positives, negatives = ops.pair_masks(tags, tags, np.arange(6))
    np.testing.assert_array_equal(positives[0], [0, 1, 1, 0, 0, 0])
    np.testing.assert_array_equal(negatives[0], [0, 0, 0, 1, 0, 0])
    assert not np.any(positives[5]) and not np.any(negatives[:, 5]), "no tags, no pairs"
    positives, negatives = ops.pair_masks(tags, tags, np.arange(6), 1.0, 0.4)
    np.testing.assert_array_equal(positives[0], [0, 0, 1, 0, 0, 0])
    np.testing.assert_array_equal(negatives[0], [0, 0, 0, 1, 1, 0])


def test_one_hot_tags_are_classes():
    labels = np.array([0, 1, 0, 2])
    tags = ops.standardize_labels(np.eye(3, dtype="uint8")[labels])
    np.testing.assert_array_equal(
        ops.pair_masks(tags, tags, np.arange(4)),
        ops.pair_masks(labels, labels, np.arange(4)),
    )
