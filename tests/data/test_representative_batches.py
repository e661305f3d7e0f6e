import numpy as np
import pytest

from kerasdml import data

# Classes 10 … 13, of 3 to 6 examples.
LABELS = np.random.default_rng(0).permutation(
    np.repeat(np.arange(10, 14), [3, 6, 4, 5])
)


def plan(lifetime=None, classes=2, per_class=3, labels=LABELS, **arguments):
    return data.representative_batches(
        labels, classes, per_class, lifetime, **arguments
    )


def test_a_batch_is_representatives_and_then_others_of_their_classes():
    batches = plan(lifetime=2)
    planned = batches(3)
    assert planned.shape == (batches.steps, batches.batch_size) == (batches.steps, 6)
    of = LABELS[planned]
    for row in of:
        assert row[0] != row[1]
        np.testing.assert_array_equal(row[2:], np.repeat(row[:2], 2))
    for row in planned:
        assert len(set(row)) == 6, "no example twice"


@pytest.mark.parametrize("lifetime", [1, 2, 3, 7])
def test_representatives_stay_for_their_lifetime(lifetime):
    batches = plan(lifetime=lifetime)
    step, seen = 0, {}
    for epoch in range(12):
        for row in batches(epoch):
            for example in row[:2]:
                key = step // lifetime, LABELS[example]
                assert seen.setdefault(key, example) == example
            step += 1
    for label, size in zip(range(10, 14), [3, 6, 4, 5], strict=True):
        drawn = {example for (_, name), example in seen.items() if name == label}
        assert len(drawn) == size if lifetime == 1 else len(drawn) > 1


def test_a_pass_over_the_data_is_the_lifetime_unless_given_and_sees_every_example():
    batches = plan()
    assert batches.lifetime == batches.steps
    for epoch in range(3):
        planned, chosen = batches(epoch), batches.representatives(epoch)
        np.testing.assert_array_equal(LABELS[chosen], [10, 11, 12, 13])
        assert set(planned[:, :2].ravel()) <= set(chosen)
        assert set(planned.ravel()) == set(range(18))
    np.testing.assert_array_equal(batches(2), plan()(2))


def test_small_classes_are_filled_up_without_their_representative():
    labels = np.array([0, 0, 1, 1, 1, 1])
    for row in plan(labels=labels, per_class=4)(0):
        others = row[2:].reshape(2, 3)
        assert all(chosen not in of for chosen, of in zip(row[:2], others, strict=True))


def learned(hard, at_angles, classes, **arguments):
    labels = np.repeat(np.arange(4), 4)
    batches = plan(labels=labels, classes=classes, hard=hard, **arguments)
    batches.learn(at_angles(0, 10, 90, 100))
    return [list(labels[row[:classes]]) for epoch in range(9) for row in batches(epoch)]


@pytest.mark.parametrize("hard", ["nearest", "greedy"])
def test_close_classes_meet(at_angles, hard):
    met = {tuple(row) for row in learned(hard, at_angles, classes=2)}
    assert met == {(0, 1), (1, 0), (2, 3), (3, 2)}


def test_greedy_goes_on_from_any_class_and_nearest_from_the_first(at_angles):
    labels = np.repeat(np.arange(4), 4)
    rows = {}
    for hard in ("greedy", "nearest"):
        batches = plan(labels=labels, classes=3, hard=hard)
        batches.learn(at_angles(0, 50, 95, -60))
        planned = np.concatenate([batches(epoch) for epoch in range(4)])
        rows[hard] = {tuple(labels[row[:3]]) for row in planned if labels[row[0]] == 0}
    assert rows == {"greedy": {(0, 1, 2)}, "nearest": {(0, 1, 3)}}
    met = learned("greedy", at_angles, classes=3)
    assert all(set(row) == {0, 1, 2} for row in met if row[0] == 0)


def test_a_share_of_the_classes_is_random(at_angles):
    met = learned("nearest", at_angles, classes=3, hard_fraction=0.5)
    assert all(row[1] == (1, 0, 3, 2)[row[0]] for row in met)
    assert {row[2] for row in met if row[0] == 0} == {2, 3}


def test_until_it_has_learned_it_is_balanced():
    np.testing.assert_array_equal(plan(hard="nearest")(4), plan()(4))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"per_class": 1}, "`per_class` must be at least 2 .* Received: per_class=1"),
        ({"lifetime": 0}, "`lifetime` at least 1. Received: per_class=3, lifetime=0"),
        ({"hard": "hardest"}, '"nearest" or "greedy", .* Received: hard=.hardest.'),
        ({"hard_fraction": 1.5}, "`hard_fraction` 0 … 1. Received: .*=1.5"),
        ({"classes": 5}, "`classes=5` needs at least that many different labels"),
        ({"labels": [5, 5, 6, 6, 7, 8]}, "class 7 has 1 .2 of 4 classes have"),
    ],
)
def test_what_cannot_be_planned_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        plan(**arguments)
