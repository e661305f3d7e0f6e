import numpy as np
import pytest

from kerasdml import data

# (sizes of the classes, classes in a batch, examples of each)
SHAPES = [
    pytest.param([8] * 6, 3, 4, id="everything divides"),
    pytest.param([8] * 7, 3, 4, id="a last batch to fill up"),
    pytest.param([7, 5, 9, 6, 4, 8], 3, 4, id="chunks to fill up"),
    pytest.param([1, 1, 1, 1], 2, 3, id="one example in each"),
    pytest.param([40, 2, 1, 3, 2], 2, 2, id="one class far larger"),
    pytest.param([12, 12, 1, 1], 3, 2, id="two large, every batch needs both"),
    pytest.param([3, 5, 2], 3, 2, id="every class in every batch"),
    pytest.param([6], 1, 2, id="one class"),
    pytest.param([1], 1, 1, id="one example"),
    pytest.param([4, 4, 4], 3, 4, id="one batch"),
    pytest.param(list(range(1, 30)), 5, 3, id="all sizes"),
]
each_shape = pytest.mark.parametrize("sizes, classes, per_class", SHAPES)


def labels_of(sizes):
    """Shuffled labels with gaps between them, some negative."""
    labels = np.repeat(3 * np.arange(len(sizes)) - 4, sizes)
    return np.random.default_rng(7).permutation(labels)


@each_shape
@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_a_batch_holds_k_examples_of_p_different_classes(
    sizes, classes, per_class, epoch
):
    labels = labels_of(sizes)
    batches = data.balanced_batches(labels, classes, per_class)
    planned = batches(epoch)
    assert planned.shape == (batches.steps, batches.batch_size)
    assert planned.dtype == np.int64
    by_class = labels[planned].reshape(batches.steps, classes, per_class)
    assert (by_class == by_class[:, :, :1]).all(), "a class lies side by side"
    for row in by_class[:, :, 0]:
        assert len(set(row)) == classes


@each_shape
def test_an_epoch_sees_every_example(sizes, classes, per_class):
    batches = data.balanced_batches(labels_of(sizes), classes, per_class)
    assert set(batches(3).ravel()) == set(range(sum(sizes)))


@each_shape
def test_within_a_class_nothing_is_seen_twice_before_all_is_seen(
    sizes, classes, per_class
):
    labels = labels_of(sizes)
    seen = data.balanced_batches(labels, classes, per_class)(2).ravel()
    for label in np.unique(labels):
        mine = seen[labels[seen] == label]
        size = np.sum(labels == label)
        assert len(set(mine[:size])) == size
        counts = np.bincount(mine, minlength=labels.size)[labels == label]
        assert counts.max() - counts.min() <= 1


@each_shape
def test_a_batch_repeats_an_example_only_of_a_class_smaller_than_k(
    sizes, classes, per_class
):
    labels = labels_of(sizes)
    size_of = dict(zip(*np.unique(labels, return_counts=True), strict=True))
    for batch in data.balanced_batches(labels, classes, per_class)(0):
        for members in batch.reshape(classes, per_class):
            distinct = min(per_class, size_of[labels[members[0]]])
            assert len(set(members)) == distinct


@each_shape
def test_there_are_as_few_batches_as_cover_every_example(sizes, classes, per_class):
    chunks = [-(-size // per_class) for size in sizes]
    # All chunks have to fit, and no class fits twice in a batch.
    steps = max(-(-sum(chunks) // classes), max(chunks))
    batches = data.balanced_batches(labels_of(sizes), classes, per_class)
    assert batches.steps == steps


def test_sizes_that_divide_give_every_example_exactly_once():
    # 6 classes of 8 as chunks of 4 are 12 chunks, 3 to a batch: 4 batches of 12.
    batches = data.balanced_batches(labels_of([8] * 6), 3, per_class=4)
    np.testing.assert_array_equal(np.sort(batches(0), axis=None), np.arange(48))


@pytest.mark.parametrize("seed", range(5))
def test_a_repeat_waits_until_every_example_was_seen(seed):
    # 7 classes of 2 chunks, 3 to a batch: 14 chunks leave one of 15 places to repeat.
    batches = data.balanced_batches(labels_of([8] * 7), 3, per_class=4, seed=seed)
    first_repeats = []
    for epoch in range(4):
        chunks = batches(epoch).reshape(-1, 4)
        last = set(chunks[-3:].ravel().tolist())
        before = chunks[:-3].ravel().tolist()
        assert len(set(before)) == len(before) == 12 * 4
        assert set(before) | last == set(range(56))
        first_repeats.append(frozenset(last & set(before)))
    assert len(set(first_repeats)) > 1, "and is not always of the same examples"


def test_places_beside_a_large_class_are_shared_evenly():
    # 20 batches of two classes: 20 chunks of the large one, and 20 places for the other
    # four, so each is visited 5 times.
    labels = np.repeat([0, 1, 2, 3, 4], [40, 2, 1, 2, 2])
    batches = data.balanced_batches(labels, 2, per_class=2)
    visited = labels[batches(0)[:, ::2]]
    np.testing.assert_array_equal(np.bincount(visited.ravel()), [20, 5, 5, 5, 5])


def test_an_epoch_follows_from_seed_and_number_alone():
    labels = labels_of([9, 5, 7, 8])
    batches = data.balanced_batches(labels, 3, 2, seed=4)
    third = batches(3)
    batches(0)
    np.testing.assert_array_equal(batches(3), third)
    twin = data.balanced_batches(labels, 3, 2, seed=4)
    np.testing.assert_array_equal(twin(3), third)


def test_epochs_and_seeds_differ():
    labels = labels_of([9, 5, 7, 8])
    plans = [
        data.balanced_batches(labels, 3, 2, seed=seed)(epoch).tobytes()
        for seed in range(3)
        for epoch in range(3)
    ]
    assert len(set(plans)) == 9


def test_every_two_classes_meet():
    # Of 20 classes a batch takes 4, so it makes 6 of the 190 pairs; a pair misses all
    # of 500 batches with (1 - 6/190)^500 = 1e-7.
    labels = np.repeat(np.arange(20), 20)
    batches = data.balanced_batches(labels, 4, per_class=2)
    together = np.zeros((20, 20))
    for epoch in range(10):
        for row in labels[batches(epoch)[:, ::2]]:
            together[np.ix_(row, row)] += 1
    apart = together[~np.eye(20, dtype=bool)]
    assert apart.min() > 0
    # 500 batches make 3000 pairs, 15.8 of each, with a Poisson-like deviation of 4.
    assert np.isclose(apart.mean(), 3000 / 190)
    assert apart.std() < 5


def test_any_place_in_a_class_is_as_likely_in_the_first_batch():
    # One class of 10, one batch of 2 looked at: each example in a fifth of the epochs.
    batches = data.balanced_batches(np.zeros(10, int), 1, per_class=2)
    counts = np.bincount(np.ravel([batches(e)[0] for e in range(500)]), minlength=10)
    # 100 expected, deviation sqrt(500 * 0.2 * 0.8) = 9.
    assert counts.min() > 60 and counts.max() < 140


def test_a_class_with_too_few_examples_is_refused_if_asked():
    labels = [7, 7, 7, 3, 3, 9]
    with pytest.raises(
        ValueError, match=r"class 3 has 2 .*2 of 3 classes.*data.at_least\(labels, 3\)"
    ):
        data.balanced_batches(labels, 1, per_class=3, on_small="error")
    data.balanced_batches(labels, 3, per_class=1, on_small="error")


def test_fewer_classes_than_a_batch_needs_are_refused():
    with pytest.raises(ValueError, match="`classes=32` needs at least .* Received: 2."):
        data.balanced_batches([0, 0, 1, 1])


@pytest.mark.parametrize(
    "labels, message",
    [
        (["a", "b"], "must be integers. Received: dtype <U1. `data.encode"),
        ([0.0, 1.0], "must be integers. Received: dtype float64"),
        ([True, False], "must be integers. Received: dtype bool"),
        ([[0], [1]], r"the shape \(n,\).* Received: shape \(2, 1\)"),
        (3, r"the shape \(n,\).* Received: shape \(\)"),
        (np.zeros(0, int), "at least one example"),
    ],
)
def test_labels_of_wrong_shape_or_type_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        data.balanced_batches(labels, 1)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"classes": 0}, "at least 1.* Received: classes=0"),
        ({"per_class": 0}, "at least 1.* per_class=0"),
        ({"seed": -1}, "`seed` at least 0.* seed=-1"),
        ({"on_small": "drop"}, 'must be "pad" or "error". Received: on_small=\'drop\''),
    ],
)
def test_arguments_out_of_range_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        data.balanced_batches([0, 0, 1, 1], **{"classes": 2, "per_class": 2, **bad})
