import itertools

import numpy as np
import pytest
from keras import ops as tensors

from kerasdml import ops
from tests.conftest import compiled, value_and_gradient


def random_pairs(seed, step=0.0):
    """Similarities, rounded to multiples of `step`, and masks with some of neither."""
    generator = np.random.default_rng(seed)
    s = generator.uniform(-1, 1, size=(9, 11))
    s = np.round(s / step) * step if step else s
    kind = generator.integers(0, 3, size=(9, 11))
    kind[0], kind[1] = 1, 2  # anchors with pairs of one kind alone
    return s.astype("float32"), kind == 1, kind == 2


def all_triplets(similarities, positives, negatives, margin):
    """The sum, the count and the gradient of every triplet, written out."""
    costs, counts = np.zeros(len(similarities)), np.zeros(len(similarities))
    gradient = np.zeros(similarities.shape)
    for i, s in enumerate(similarities.astype("float64")):
        pairs = np.flatnonzero(positives[i]), np.flatnonzero(negatives[i])
        for p, n in itertools.product(*pairs):
            violation = s[n] - s[p] + margin
            if violation > 2e-6:  # float32 does not tell it from 0
                costs[i] += violation
                counts[i] += 1
                gradient[i, p] -= 1
                gradient[i, n] += 1
    return costs, counts, gradient


@pytest.mark.parametrize("margin", [0.0, 0.25, 5.0])
@pytest.mark.parametrize("seed, step", [(0, 0.0), (1, 0.0), (2, 0.125), (3, 0.5)])
def test_all_triplets_agree_with_the_enumeration(seed, step, margin):
    pairs = random_pairs(seed, step)
    costs, counts, slopes = all_triplets(*pairs, margin)
    sums, numbers = ops.triplet_hinge(*pairs, margin)
    np.testing.assert_allclose(sums, costs, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(numbers, counts)
    _, gradient = value_and_gradient(
        lambda s: tensors.sum(ops.triplet_hinge(s, *pairs[1:], margin)[0]), pairs[0]
    )
    np.testing.assert_array_equal(gradient, slopes)


def test_all_triplets_of_unselected_columns_cost_nothing():
    s = np.array([[1e9, 0.5, 0.75, -1e9]], "float32")
    positives = np.array([[False, True, False, False]])
    negatives = np.array([[False, False, True, False]])
    costs, counts = ops.triplet_hinge(s, positives, negatives, 0.25)
    np.testing.assert_array_equal(costs, [0.5])
    np.testing.assert_array_equal(counts, [1])


def semi_hard_triplets(similarities, positives, negatives, margin):
    costs, counts = np.zeros(len(similarities)), np.zeros(len(similarities))
    for i, s in enumerate(similarities.astype("float64")):
        neg = s[negatives[i]]
        for a in s[positives[i]] if neg.size else ():
            farther = neg[neg < a]
            chosen = np.max(farther) if farther.size else np.min(neg)
            costs[i] += max(chosen - a + margin, 0)
            counts[i] += 1
    return costs, counts


@pytest.mark.parametrize("margin", [0.25, 5.0])
@pytest.mark.parametrize("seed, step", [(0, 0.0), (1, 0.0), (2, 0.125), (3, 0.5)])
def test_semi_hard_triplets_agree_with_the_enumeration(seed, step, margin):
    pairs = random_pairs(seed, step)
    costs, counts = semi_hard_triplets(*pairs, margin)
    sums, numbers = ops.semi_hard_hinge(*pairs, lambda v: tensors.relu(v + margin))
    np.testing.assert_allclose(sums, costs, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(numbers, counts)


def test_rounding_does_not_make_a_semi_hard_negative():
    # 0.6 and the next number below it in float32 are one similarity.
    below = np.nextafter(np.float32(0.6), np.float32(0))
    s = np.array([[0.6, below, 0.2]], "float32")
    positives = np.array([[True, False, False]])
    costs, _ = ops.semi_hard_hinge(s, positives, ~positives, lambda v: v)
    np.testing.assert_allclose(costs, [0.2 - 0.6], rtol=1e-6)


def test_compile():
    s, positives, negatives = random_pairs(0)
    for function in (
        lambda s: ops.triplet_hinge(s, positives, negatives, 0.25)[0],
        lambda s: ops.semi_hard_hinge(s, positives, negatives, tensors.softplus)[0],
    ):
        expected = function(s)
        np.testing.assert_allclose(
            compiled(function)(s), expected, rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("function", ["triplet_hinge", "semi_hard_hinge"])
def test_embeddings_that_are_no_numbers_end_too(function):
    # A training that diverged: whatever comes of it, it must come to an end.
    s = np.full((4, 4), np.nan, "float32")
    same = np.array([0, 0, 1, 1])[:, None] == [0, 0, 1, 1]
    last = 0.1 if function == "triplet_hinge" else abs
    costs, _ = getattr(ops, function)(s, same & ~np.eye(4, dtype=bool), ~same, last)
    assert costs.shape == (4,)
