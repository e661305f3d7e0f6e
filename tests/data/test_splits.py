import numpy as np
import pytest

from kerasdml.data import class_disjoint_folds, class_disjoint_split

LABELS = np.array([5, 1, 1, 9, 5, 7, 9, 9])


@pytest.mark.parametrize("seed", [None, 0, 1])
@pytest.mark.parametrize("fraction", [0.01, 0.25, 0.5, 0.99])
def test_no_class_is_on_both_sides_and_no_example_is_lost(seed, fraction):
    train, test = class_disjoint_split(LABELS, fraction, seed)
    assert sorted([*train, *test]) == list(range(8))
    assert not set(LABELS[train]) & set(LABELS[test])
    assert len(train) and len(test)


def test_without_a_seed_the_last_classes_are_held_out():
    train, test = class_disjoint_split(LABELS)
    assert set(LABELS[train]) == {1, 5} and set(LABELS[test]) == {7, 9}


def test_the_fraction_counts_classes():
    _, test = class_disjoint_split(np.arange(100), 0.3, seed=3)
    assert len(test) == 30


def test_a_seed_decides_which_classes():
    draws = [tuple(class_disjoint_split(np.arange(20), seed=s)[1]) for s in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("fraction", [0, 1, -0.5])
def test_rejects_a_fraction_that_leaves_a_side_empty(fraction):
    with pytest.raises(ValueError, match="must be above 0 and below 1. Received"):
        class_disjoint_split(LABELS, fraction)


def test_rejects_one_class():
    with pytest.raises(ValueError, match="needs at least two classes"):
        class_disjoint_split([3, 3])


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_every_class_validates_one_fold_and_trains_in_the_others(seed):
    folds = class_disjoint_folds(LABELS, 3, seed)
    for train, validation in folds:
        assert sorted([*train, *validation]) == list(range(8))
        assert not set(LABELS[train]) & set(LABELS[validation])
    validated = [sorted(set(LABELS[validation])) for _, validation in folds]
    # Four classes in three folds.
    assert [len(classes) for classes in validated] == [2, 1, 1]
    assert sorted(sum(validated, [])) == [1, 5, 7, 9]


def test_folds_without_a_seed_are_cut_in_order():
    validated = [set(LABELS[v]) for _, v in class_disjoint_folds(LABELS, 2, None)]
    assert validated == [{1, 5}, {7, 9}]


def test_a_seed_decides_the_folds():
    draws = [class_disjoint_folds(np.arange(20), seed=s)[0][1] for s in (0, 0, 1)]
    assert list(draws[0]) == list(draws[1]) != list(draws[2])


@pytest.mark.parametrize("folds", [1, 5, 2.0])
def test_rejects_folds_that_leave_a_side_empty(folds):
    with pytest.raises(ValueError, match="from 2 to the number of classes, 4. Rec"):
        class_disjoint_folds(LABELS, folds)
