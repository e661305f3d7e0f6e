import functools

import keras
import numpy as np
import pytest

from kerasdml.losses import Angular
from tests.conftest import value_and_gradient
from tests.losses.conftest import masks


def formula(embeddings, labels, alpha):
    """The loss of each positive pair, one triplet at a time, in float64."""
    x = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    x, t = x.astype("float64"), np.tan(np.radians(alpha)) ** 2
    costs = []
    for a, p in np.argwhere(masks(labels)[0]):
        excess = [
            4 * t * (x[a] + x[p]) @ x[n] - 2 * (1 + t) * x[a] @ x[p]
            for n in np.flatnonzero(labels != labels[a])
        ]
        costs.append(np.log1p(np.sum(np.exp(excess))))
    return costs


@pytest.mark.parametrize("alpha", [20, 36, 45, 70])
def test_agrees_with_the_formula(unbalanced, alpha):
    labels, embeddings = unbalanced
    value = Angular(alpha=alpha)(labels, embeddings)
    expected = np.mean(formula(embeddings, labels, alpha))
    np.testing.assert_allclose(value, expected, rtol=2e-5)


def test_averages_over_anchors_if_asked(unbalanced):
    labels, embeddings = unbalanced
    value = Angular(average="anchors")(labels, embeddings)
    expected = np.sum(formula(embeddings, labels, 45)) / 13
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize("per_class", [3, 18])  # which are summed in two ways
def test_value_and_gradient_agree_with_the_formula(per_class):
    rng = np.random.default_rng(0)
    labels = np.arange(2 * per_class) % 2
    embeddings, way = rng.normal(size=(2, labels.size, 4))
    function = functools.partial(Angular(), labels)
    value, slopes = value_and_gradient(function, embeddings.astype("float32"))
    there, up, down = (
        np.mean(formula(embeddings + x * way, labels, 45)) for x in (0, 1e-5, -1e-5)
    )
    np.testing.assert_allclose(value, there, rtol=1e-5)
    np.testing.assert_allclose(np.sum(slopes * way), (up - down) / 2e-5, rtol=1e-4)


def test_value_worked_by_hand(at_angles):
    # At 45 degrees t = 1. The pair at 0 and 60 degrees, with cosine 1/2, sees the
    # negative at 90 with 4 (0 + cos 30) - 4 / 2 = 1.464102: log(1 + e^1.464102).
    value = Angular()(np.array([0, 0, 1]), at_angles(0, 60, 90))
    np.testing.assert_allclose(value, 1.6721605, rtol=1e-6)


def test_negatives_opposite_to_one_end_are_exact_at_the_steepest(at_angles):
    # Where exponentials of the two ends are farthest apart.
    embeddings, labels = at_angles(0, 180, 0, 180, 90), np.array([0, 0, 1, 1, 1])
    expected = np.mean(formula(embeddings, labels, 70))
    np.testing.assert_allclose(Angular(alpha=70)(labels, embeddings), expected, 1e-5)


def test_a_negative_counts_if_it_is_one_of_both_ends():
    s = np.array([[1, 0.5, 0.2], [0.5, 1, 0.4], [0.2, 0.4, 1]], "float32")
    positives = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]], bool)
    negatives = np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0]], bool)
    np.testing.assert_array_equal(
        Angular().pair_loss(s, positives, negatives), np.zeros(3)
    )


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"alpha": 0.0}, "above 0 and at most 70. Received: alpha=0.0"),
        ({"alpha": 71.0}, "above 0 and at most 70. Received: alpha=71.0"),
        ({"similarity": "dot"}, "must be 'cosine'. Received: similarity='dot'"),
        ({"references": [keras.layers.Identity()]}, "Angular compares its references"),
    ],
)
def test_rejects_arguments_out_of_range(bad, message):
    with pytest.raises(ValueError, match=message):
        Angular(**bad)
