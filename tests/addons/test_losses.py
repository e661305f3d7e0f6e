"""Each loss of TensorFlow Addons beside what its users write instead."""

import json

import keras
import numpy as np
import pytest

from kerasdml import losses, ops
from tests.addons.record import FILE, recorded
from tests.losses import addons_cases, comparisons

EACH = [
    pytest.param(case, *batch, id=f"{case} {batch}")
    for case in addons_cases.CASES
    for batch in comparisons.batches(case, seeds=range(5))
]


def case_of(name, **arguments):
    (case,) = (x for x in addons_cases.CASES if x[:2] == (name, arguments))
    return case


@pytest.mark.parametrize("case, seed, layout, unit", EACH)
def test_value_and_gradient_are_those_of_addons(case, seed, layout, unit, addons_gives):
    comparisons.check(case, addons_gives, [(seed, layout, unit)])


def test_the_values_kept_for_the_other_tests_are_those_of_addons(addons):
    kept = json.loads(FILE.read_text())
    assert kept["tensorflow_addons"] == addons.__version__
    comparisons.check_same(kept["values"], recorded(addons))


@pytest.mark.parametrize("unit", [True, False])
def test_distances_are_those_of_addons(addons, unit):
    _, e = comparisons.batch(seed=0, layout="uneven", unit=unit)
    functions = addons.losses.metric_learning
    apart = ~np.eye(len(e), dtype=bool)
    np.testing.assert_allclose(
        -np.asarray(ops.similarities(e, e, "euclidean"))[apart],
        np.asarray(functions.pairwise_distance(e))[apart],
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        1.0 - np.asarray(ops.similarities(e, e))[apart],
        np.asarray(functions.angular_distance(e))[apart],
        atol=1e-6,
    )


def test_an_anchor_without_positives_is_left_out_of_hard_triplets(addons_gives):
    # Addons gives it the hinge of its closest negative and of a positive at 0.
    case = case_of("TripletHardLoss")
    labels, e = comparisons.batch(seed=0, layout="one alone", unit=True)
    e /= 2  # so that its closest negative is within the margin of 1
    theirs, _ = addons_gives(case, labels, e)
    alone = np.flatnonzero(labels == 0)
    distances = np.linalg.norm(e[alone] - e[labels != 0], axis=1)
    of_alone = max(1.0 - distances.min(), 0.0)
    assert of_alone > 0
    ours = 15 * float(case.loss(labels, e)) + of_alone
    np.testing.assert_allclose(ours / 16, theirs, rtol=1e-5)


@pytest.mark.parametrize("name", ["TripletSemiHardLoss", "LiftedStructLoss"])
def test_a_batch_without_positives_costs_nothing_instead_of_nan(name, addons_gives):
    case, e = case_of(name), comparisons.batch(0, "pairs", unit=True)[1]
    labels = np.arange(16)
    assert np.isnan(addons_gives(case, labels, e)[0])
    assert float(case.loss(labels, e)) == 0.0


def test_pairs_of_one_class_are_no_negatives_of_each_other(addons_gives):
    # Addons wants an anchor as close to the positives of other pairs of its class.
    case, e = case_of("NpairsLoss"), comparisons.batch(0, "pairs", unit=True)[1]
    labels = np.repeat([0, 0, 1, 1, 2, 2, 3, 3], 2)
    theirs, _ = addons_gives(case, labels, e)
    similarities = e[::2] @ e[1::2].T
    costs = []
    for i, row in enumerate(similarities):
        negatives = row[labels[::2] != labels[2 * i]]
        costs.append(np.log1p(np.sum(np.exp(negatives - row[i]))))
    np.testing.assert_allclose(case.loss(labels, e), np.mean(costs), rtol=1e-5)
    assert abs(theirs - np.mean(costs)) > 0.1


def test_keras_stays_keras_3(addons):
    import tensorflow as tf

    assert keras.__version__.startswith("3.")
    assert issubclass(losses.Triplet, keras.losses.Loss)
    assert not issubclass(addons.losses.TripletHardLoss, keras.losses.Loss)
    assert issubclass(addons.losses.TripletHardLoss, tf.keras.losses.Loss)
