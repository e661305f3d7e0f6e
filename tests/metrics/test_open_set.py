import numpy as np
import pytest

from kerasdml.metrics import open_set

GALLERY = np.array([[0.0], [10.0], [20.0]])
CLASSES = ["A", "B", "C"]


def test_values_worked_by_hand():
    # Within 2 of an item: 1 (right), 9 (wrong: of C), not 14; of the unknown, 21.
    queries = np.array([[1.0], [9.0], [14.0], [21.0], [30.0], [-5.0], [15.5]])
    labels = ["A", "C", "B", "X", "Y", "Y", "X"]
    found = open_set(
        queries, labels, GALLERY, CLASSES, threshold=-2.0, similarity="euclidean"
    )
    assert found == pytest.approx(
        {
            "false_identification": 1 / 4,
            "missed_identification": 2 / 3,
            "rejected": 1 / 3,
            "misidentified": 1 / 3,
            "known": 3,
            "unknown": 4,
        }
    )


@pytest.mark.parametrize("threshold, false, rejected", [(-np.inf, 1, 0), (1, 0, 1)])
def test_all_or_nothing_is_accepted(threshold, false, rejected):
    queries = np.array([[1.0], [11.0], [19.0]])
    found = open_set(
        queries,
        ["A", "B", "X"],
        GALLERY,
        CLASSES,
        threshold=threshold,
        similarity="euclidean",
    )
    assert found["false_identification"] == false
    assert found["rejected"] == found["missed_identification"] == rejected


def test_without_a_gallery_each_is_left_out_of_its_own_search():
    # The lone one at 5 is the unknown query; 1.5 from 6.5, which is of another class.
    x, labels = np.array([[0.0], [1.0], [5.0], [6.5], [7.0]]), [1, 1, 2, 3, 3]
    found = open_set(x, labels, threshold=-1.0, similarity="euclidean")
    assert (found["known"], found["unknown"]) == (4, 1)
    assert found["false_identification"] == found["missed_identification"] == 0
    found = open_set(x, labels, threshold=-2.0, similarity="euclidean", chunk_size=2)
    assert found["missed_identification"] == 0
    assert found["false_identification"] == 1


def test_large_ids_stay_apart():
    # Signed and unsigned ones, which NumPy would compare as floats.
    labels = np.array([2**62 + 1, 2**62, -1])
    gallery_labels = np.array([2**62 + 1, 2**62], "uint64")
    found = open_set(np.eye(3, 2), labels, np.eye(2), gallery_labels, threshold=0.5)
    assert found["missed_identification"] == found["false_identification"] == 0


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        ((GALLERY, CLASSES, GALLERY, CLASSES), {}, "3 queries, all known"),
        ((GALLERY, [0, 1, 2], GALLERY, CLASSES), {}, "3 queries, all unknown"),
        ((GALLERY, CLASSES, GALLERY), {}, "must be given together"),
        ((GALLERY, CLASSES, np.eye(3), CLASSES), {}, "same embedding size"),
        ((GALLERY, CLASSES[:2]), {}, "`labels` must have one label per embedding"),
        ((GALLERY, CLASSES), {"threshold": np.nan}, "`threshold` must be a number"),
        ((GALLERY, CLASSES), {"similarity": "l3"}, "`similarity` must be"),
        ((GALLERY, CLASSES), {"chunk_size": 0}, "`chunk_size` must be at least 1"),
    ],
)
def test_rejects_what_it_cannot_identify(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        open_set(*arguments, **{"threshold": 0.5, **options})
