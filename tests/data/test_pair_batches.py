import collections

import numpy as np
import pytest

from kerasdml import data

LABELS = np.array([4, 9, 4, 4, 1, 9, 7])


def pairs_of(planned):
    first, second = np.split(planned, 2, axis=1)
    return list(zip(first.ravel().tolist(), second.ravel().tolist(), strict=True))


@pytest.mark.parametrize("self_pairs", [True, False])
def test_an_epoch_has_every_pair_of_a_class_once_and_as_many_of_different_ones(
    self_pairs,
):
    # Classes of 3, 2, 1 and 1: 3 + 1 pairs, and 7 of an example with itself; so for
    # each of the 7 examples ceil(11 / 7) = 2 others, or 1.
    batches = data.pair_batches(LABELS, pairs=1, self_pairs=self_pairs)
    planned = batches(0)
    assert planned.shape == (batches.steps, 2) and planned.dtype == np.int64
    pairs = pairs_of(planned)
    alike = [tuple(sorted(p)) for p in pairs if LABELS[p[0]] == LABELS[p[1]]]
    expected = [(0, 2), (0, 3), (2, 3), (1, 5)]
    expected += [(i, i) for i in range(7)] if self_pairs else []
    assert collections.Counter(alike) == collections.Counter(expected)
    first = [a for a, b in pairs if LABELS[a] != LABELS[b]]
    np.testing.assert_array_equal(np.bincount(first), 2 if self_pairs else 1)


def test_a_batch_is_the_first_ones_then_the_second_ones():
    batches = data.pair_batches(LABELS, pairs=4)
    assert batches.steps == 7 and batches.batch_size == 8  # 11 + 14 pairs, by 4
    seen = pairs_of(batches(2))
    assert {(i, i) for i in range(7)} < set(seen)
    assert seen[25:] == seen[:3], "the last batch is filled from the first"


def test_all_examples_of_other_classes_are_drawn():
    batches = data.pair_batches(LABELS, pairs=5)
    seen = {pair for epoch in range(60) for pair in pairs_of(batches(epoch))}
    different = LABELS[:, None] != LABELS
    assert seen >= {(int(a), int(b)) for a, b in np.argwhere(different)}


def test_an_epoch_follows_from_seed_and_number_alone():
    plans = [
        data.pair_batches(LABELS, 4, seed=seed)(epoch).tobytes()
        for seed in range(2)
        for epoch in range(2)
    ]
    assert len(set(plans)) == 4
    np.testing.assert_array_equal(
        data.pair_batches(LABELS, 4)(1), data.pair_batches(LABELS, 4)(1)
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"pairs": 0}, "`pairs` must be at least 1.* Received: pairs=0"),
        ({"seed": -1}, "`seed` at least 0. Received: pairs=64, seed=-1"),
        ({"labels": [3, 3, 3]}, "at least two classes.* Received: 1 classes"),
        ({"labels": [1, 2], "self_pairs": False}, "2 classes of at most 1"),
    ],
)
def test_what_makes_no_pairs_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        data.pair_batches(**{"labels": LABELS, **arguments})
