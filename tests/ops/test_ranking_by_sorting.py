"""Anchors with so many positives that their pairs are sorted."""

import numpy as np
import pytest
from keras import ops as tensors

from kerasdml import ops
from tests.conftest import compiled, value_and_gradient


def many_pairs(seed, anchors=5, references=90):
    """Similarities a 64th apart at least, some equal, half of them of positives."""
    generator = np.random.default_rng(seed)
    s = generator.integers(-64, 65, size=(anchors, references)) / 64
    kind = generator.choice(3, p=[0.1, 0.5, 0.4], size=s.shape)
    kind[0], kind[1] = 1, 2  # anchors with pairs of one kind alone
    assert (kind == 1).sum(axis=1).max() > 30
    return s.astype("float32"), kind == 1, kind == 2


@pytest.mark.parametrize("margin", [0.0, 0.25, 5.0])
def test_all_triplets_agree_with_the_enumeration(margin):
    s, positives, negatives = many_pairs(seed=0)
    # (q, p, n) violations, what the function is there to avoid
    violations = s[:, None, :] - s[:, :, None] + margin
    triplets = positives[:, :, None] & negatives[:, None, :]
    active = triplets & (violations > 0)
    pairs = positives, negatives
    costs, counts = ops.triplet_hinge(s, *pairs, margin)
    np.testing.assert_allclose(
        costs, np.sum(violations * active, axis=(1, 2)), rtol=1e-5, atol=1e-3
    )
    np.testing.assert_array_equal(counts, active.sum(axis=(1, 2)))
    _, gradient = value_and_gradient(
        lambda x: tensors.sum(ops.triplet_hinge(x, *pairs, margin)[0]), s
    )
    np.testing.assert_array_equal(gradient, active.sum(axis=1) - active.sum(axis=2))


def test_semi_hard_triplets_agree_with_the_enumeration():
    s, positives, negatives = many_pairs(seed=1)
    costs, counts = np.zeros(len(s)), np.zeros(len(s))
    for i in range(len(s)):
        of_negatives = s[i, negatives[i]]
        for value in s[i, positives[i]] if of_negatives.size else ():
            farther = of_negatives[of_negatives < value]
            chosen = farther.max() if farther.size else of_negatives.min()
            costs[i] += max(chosen - value + 0.25, 0.0)
            counts[i] += 1
    sums, numbers = ops.semi_hard_hinge(
        s, positives, negatives, lambda v: tensors.relu(v + 0.25)
    )
    np.testing.assert_allclose(sums, costs, rtol=1e-6)
    np.testing.assert_array_equal(numbers, counts)


def test_semi_hard_triplets_pull_the_positive_and_push_its_negative():
    # Positives at 40 ... 1, the one negative of each half a step farther away; the
    # farthest positive has no farther negative, and takes the farthest of all.
    positive = np.arange(40.0, 0.0, -1.0)
    s = np.concatenate([positive, positive[:-1] - 0.5])[None].astype("float32")
    positives = np.arange(s.size)[None] < 40
    _, gradient = value_and_gradient(
        lambda x: tensors.sum(
            ops.semi_hard_hinge(x, positives, ~positives, lambda v: v)[0]
        ),
        s,
    )
    expected = np.append(np.full(40, -1.0), np.ones(39))
    expected[-1] = 2.0  # that of the last two positives
    np.testing.assert_array_equal(gradient, expected[None])


@pytest.mark.parametrize("hinge", [ops.triplet_hinge, ops.semi_hard_hinge])
def test_compile(hinge):
    s, positives, negatives = many_pairs(seed=2)
    last = 0.25 if hinge is ops.triplet_hinge else tensors.softplus

    def costs(x):
        return hinge(x, positives, negatives, last)[0]

    np.testing.assert_allclose(compiled(costs)(s), costs(s), rtol=1e-5, atol=1e-3)
