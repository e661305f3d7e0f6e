import numpy as np
import pytest

from kerasdml import data


def test_a_batch_holds_examples_of_different_clusters_of_the_moment():
    batches = data.cluster_batches(24, clusters=4, classes=3, per_class=2)
    assert batches.steps == 4 and batches.batch_size == 6
    for labels in (np.arange(24) % 4, np.repeat([0, 1, 2, 3], [18, 3, 2, 1])):
        batches.relabel(labels)
        np.testing.assert_array_equal(batches.labels, labels)
        planned = batches(2)
        assert planned.shape == (4, 6)
        by_cluster = labels[planned].reshape(4, 3, 2)
        assert (by_cluster[:, :, 0] == by_cluster[:, :, 1]).all()
        assert all(len(set(row)) == 3 for row in by_cluster[:, :, 0])


def test_clusters_of_one_size_are_seen_whole():
    batches = data.cluster_batches(24, clusters=4, classes=2, per_class=3)
    batches.relabel(np.arange(24) % 4)
    np.testing.assert_array_equal(np.sort(batches(0), axis=None), np.arange(24))


def test_clusters_are_drawn_at_random_at_first():
    batches = data.cluster_batches(23, clusters=4, classes=2, per_class=3)
    np.testing.assert_array_equal(np.bincount(batches.labels), [6, 6, 6, 5])


@pytest.mark.parametrize(
    "labels, message",
    [
        (np.zeros(23, int), "each of the 24 examples. Received: 23"),
        (np.zeros(24, int), "`classes=3` needs at least .* Received: 1"),
        (np.zeros(24), "must be integers"),
    ],
)
def test_labels_that_make_no_batches_are_refused(labels, message):
    batches = data.cluster_batches(24, clusters=4, classes=3, per_class=2)
    with pytest.raises(ValueError, match=message):
        batches.relabel(labels)


@pytest.mark.parametrize("bad", [{"clusters": 2}, {"clusters": 25}, {"per_class": 0}])
def test_numbers_out_of_range_are_refused(bad):
    (name, value), *_ = bad.items()
    with pytest.raises(ValueError, match=f"Received: size=24.*{name}={value}"):
        data.cluster_batches(24, **{"clusters": 4, "classes": 3, **bad})
