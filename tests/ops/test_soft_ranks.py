import numpy as np
import pytest
from keras import ops

from kerasdml.ops import soft_rank_costs, with_anchor
from tests.conftest import compiled, value_and_gradient


def counts(similarities, positive, negative, temperature):
    """`a, b` of each positive of each anchor, one reference at a time."""
    s = np.asarray(similarities, "float64")
    for i in range(len(s)):
        for p in np.flatnonzero(positive[i]):
            closer = 1 / (1 + np.exp(-(s[i] - s[i, p]) / temperature))
            others = positive[i] & (np.arange(s.shape[1]) != p)
            yield i, closer[others].sum(), closer[negative[i]].sum()


def cost(a, b):
    """Something of both, with its slopes."""
    return a**2 * b + b, 2 * a * b, a**2 + 1


def formula(*pairs_and_temperature):
    costs = np.zeros(len(pairs_and_temperature[0]))
    for i, a, b in counts(*pairs_and_temperature):
        costs[i] += cost(a, b)[0]
    return costs


@pytest.mark.parametrize("temperature", [0.01, 0.3])
def test_agrees_with_every_comparison_written_out(pairs, temperature):
    costs = soft_rank_costs(*pairs, temperature, cost)[:, 0]
    np.testing.assert_allclose(costs, formula(*pairs, temperature), rtol=1e-4)


def test_gradient_agrees_with_finite_differences(pairs):
    s, positives, negatives = pairs

    def total(x):
        return ops.sum(soft_rank_costs(x, positives, negatives, 0.3, cost))

    _, gradient = value_and_gradient(total, s)
    way, delta = np.random.default_rng(0).normal(size=s.shape), 1e-5
    up = formula(s + delta * way, positives, negatives, 0.3).sum()
    down = formula(s - delta * way, positives, negatives, 0.3).sum()
    slope = (up - down) / (2 * delta)
    np.testing.assert_allclose(np.sum(gradient * way), slope, rtol=1e-3)


def test_compiled_with_masks_as_arguments_the_gradient_is_the_same(pairs):
    s, positives, negatives = pairs

    def total(p, n, x):
        return ops.sum(soft_rank_costs(x, p, n, 0.3, cost))

    _, expected = value_and_gradient(lambda x: total(positives, negatives, x), s)
    function = compiled(total)
    _, gradient = value_and_gradient(lambda x: function(positives, negatives, x), s)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [2, 7, 40])
def test_anchors_with_many_and_with_few_positives(size):
    rng = np.random.default_rng(0)
    s = rng.normal(size=(size, 40)).astype("float32")
    positives = rng.permutation(40) < rng.permutation(40)[:size, None]  # 0 to 39
    own = np.arange(1.0, 1.0 + size, dtype="float32")[:, None]

    def own_cost(a, b, own):
        return own * a, own + 0 * a, 0 * b

    found = soft_rank_costs(
        s, positives, ~positives, 0.3, own_cost, most_cost=900 + own, of_rows=(own,)
    )
    expected = np.zeros(size)
    for i, a, _ in counts(s, positives, ~positives, 0.3):
        expected[i] += own[i, 0] * a
    expected = np.minimum(expected, 900 + own[:, 0])
    assert size < 40 or (expected == 900 + own[:, 0]).any()
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-4)


def test_several_costs_at_once():
    # One positive at 0.5; of the negatives one is as close: b = 1/2 + 0 + 1.
    s = np.array([[0.5, 0.5, -9.0, 9.0]], "float32")
    positive = np.array([[True, False, False, False]])

    def powers(a, b):
        return ops.concatenate([a, b, b**2], axis=1), 0 * a, 0 * a

    b = soft_rank_costs(s, positive, ~positive, 0.01, powers)
    np.testing.assert_allclose(b, [[0.0, 1.5, 2.25]], rtol=1e-6)


def test_more_positives_than_a_byte_counts():
    # 300 at the same place: each has half of the 299 others ahead of it.
    s = np.zeros((1, 301), "float32")
    positive = np.arange(301)[None] < 300
    a = soft_rank_costs(s, positive, ~positive, 0.01, lambda a, b: (a, 1 + 0 * a, b))
    np.testing.assert_allclose(a, [[300 * 149.5]], rtol=1e-5)


def test_an_anchor_joins_the_positives_that_it_has():
    positives = np.array([[False, True, False], [True, False, False], [False] * 3])
    joined = with_anchor(ops.convert_to_tensor(positives), *[np.arange(3)] * 2)
    np.testing.assert_array_equal(joined, [[1, 1, 0], [1, 1, 0], [0, 0, 0]])
