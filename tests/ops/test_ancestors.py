import numpy as np
import pytest
from keras import ops as tensors

from kerasdml.ops.ancestors import (
    Triplets,
    ancestor_cost,
    draw_triplets,
    keys,
    relations,
    uniform,
)
from tests.conftest import value_and_gradient


def most_probable(distances):
    return lambda t: np.ones((2, *np.shape(distances)), "float32")


def cost(distances, triplet=(0, 1, 2), exclude=False):
    """What one triplet pays, of nodes by their distances from the proxies."""
    d = np.asarray(distances, "float32")
    i, j, k = triplet
    only = np.arange(len(d)) == i
    related, unrelated = (np.where(only, x, 0)[:, None] for x in (j, k))
    return ancestor_cost(
        tensors.convert_to_tensor(d),
        Triplets(*map(tensors.convert_to_tensor, (related, unrelated, only))),
        most_probable(d),
        temperature=0.1,
        margin=0.1,
        exclude=exclude,
    )


def test_related_are_mutual_neighbours_worked_by_hand():
    s = np.array([[2, 0.9, 0.8, 0.2], [0.9, 2, 0.7, 0.1], [0.8, 0.7, 2, 0.3]])
    s = np.vstack([s, [0.2, 0.1, 0.3, 2]])
    related, unrelated = map(np.array, relations(tensors.convert_to_tensor(s), 3))
    assert [np.flatnonzero(x).tolist() for x in related] == [[1, 2], [0, 2], [0, 1], []]
    assert np.flatnonzero(unrelated[0]).tolist() == [3]
    _, released = relations(tensors.convert_to_tensor(s), 3, exclude_self=False)
    assert np.flatnonzero(released[0]).tolist() == [0, 3]
    # With two, one neighbour is left at most, which is not enough.
    assert not np.array(relations(tensors.convert_to_tensor(s), 2)[0]).any()


def test_more_neighbours_than_there_are_relate_all():
    related, unrelated = relations(np.zeros((3, 3), "float32"), 20)
    assert np.array(related).sum() == 6 and not np.array(unrelated).any()


def test_draws_are_even_and_of_their_kind():
    related = np.zeros((6, 6), bool)
    related[:3, :3] = ~np.eye(3, dtype=bool)
    unrelated = ~related & ~np.eye(6, dtype=bool)
    found = draw_triplets(
        tensors.convert_to_tensor(related),
        tensors.convert_to_tensor(unrelated),
        3000,
        tensors.convert_to_tensor([3, 4], dtype="uint32"),
    )
    first, other, some = map(np.array, found)
    assert some.tolist() == [True] * 3 + [False] * 3
    for i in range(3):
        counts = np.bincount(first[i], minlength=6)
        assert (counts > 0).tolist() == related[i].tolist()
        np.testing.assert_allclose(counts[related[i]], 1500, rtol=0.1)
        counts = np.bincount(other[i], minlength=6)
        assert (counts > 0).tolist() == unrelated[i].tolist()
        np.testing.assert_allclose(counts[unrelated[i]], 1000, rtol=0.1)


def test_costs_worked_by_hand():
    # max(d_i, d_j) is least at proxy 0, max of all three at proxy 1: all in order.
    assert float(cost([[1, 2, 3], [1.2, 1.9, 3], [3, 2, 1]])) == 0
    # 1 - 1.05 + 0.1, 1 - 1.1 + 0.1 and 1.15 - 1.2 + 0.1
    value = cost([[1, 1.05], [1, 1.1], [1.2, 1.15]])
    np.testing.assert_allclose(value, 0.1, rtol=1e-5)


def test_one_ancestor_for_both_costs_nothing_unless_excluded():
    # Proxy 0 is the closest for two and for three; after it, proxy 1.
    d = [[1, 2, 9], [1, 2, 9], [1, 3, 9]]
    value, gradient = value_and_gradient(lambda x: cost_of(x), np.array(d, "float32"))
    assert value == 0 and (gradient == 0).all()
    # 1 - 2 + 0.1 twice is below 0, and 3 - 1 + 0.1 is not.
    np.testing.assert_allclose(cost(d, exclude=True), 2.1, rtol=1e-6)


def cost_of(distances):
    triplets = Triplets([[1], [0], [0]], [[2], [2], [1]], [True, True, False])
    triplets = Triplets(*map(tensors.convert_to_tensor, triplets))
    return ancestor_cost(distances, triplets, most_probable(distances), 0.1, 0.1)


@pytest.mark.parametrize("exclude", [False, True])
def test_value_and_gradient_agree_with_the_relaxed_formula(exclude):
    # The published formula, triplet by triplet, with the gradient taken through it.
    rng = np.random.default_rng(0)
    n, m, t, temperature, margin = 5, 4, 3, 0.3, 0.5
    distances = rng.uniform(0.2, 2, (n, m)).astype("float32")
    related, unrelated = rng.integers(0, n, (2, n, t))
    some = np.array([True, True, False, True, True])
    noise = rng.exponential(size=(t, 2, n, m)).astype("float32")

    def hard(logits, exponential, barred):
        noisy = logits - np.log(exponential)
        noisy = tensors.where(barred, float("-inf"), noisy)
        soft = tensors.softmax(noisy)
        one = tensors.one_hot(tensors.argmax(noisy), m, dtype="float32")
        return one, one + soft - tensors.stop_gradient(soft)

    def expected(d):
        total, count = 0.0, 0
        for i in np.flatnonzero(some):
            for s in range(t):
                x, y, z = d[i], d[int(related[i, s])], d[int(unrelated[i, s])]
                two = tensors.maximum(x, y)
                three = tensors.maximum(two, z)
                nobody = np.zeros(m, bool)
                one, g = hard(-two / temperature, noise[s, 0, i], nobody)
                barred = one > 0 if exclude else nobody
                other, h = hard(-three / temperature, noise[s, 1, i], barred)
                terms = [
                    tensors.relu(sign * tensors.sum((g - h) * v) + margin)
                    for sign, v in ((1, x), (1, y), (-1, z))
                ]
                total += sum(terms) * (1.0 - tensors.sum(one * other))
                count += 1
        return total / count

    def found(d):
        given = map(tensors.convert_to_tensor, (related, unrelated, some))
        draws = tensors.convert_to_tensor(noise)
        return ancestor_cost(
            d, Triplets(*given), lambda s: draws[s], temperature, margin, exclude
        )

    value, gradient = value_and_gradient(found, distances)
    true_value, true_gradient = value_and_gradient(expected, distances)
    assert value > 0
    np.testing.assert_allclose(value, true_value, rtol=1e-5)
    np.testing.assert_allclose(gradient, true_gradient, rtol=1e-4, atol=1e-6)


def test_the_two_related_and_the_proxies_are_exchangeable():
    d = np.array([[1, 1.05, 1.3], [1, 1.1, 1.4], [1.2, 1.15, 1.1]])
    expected = cost(d)
    assert float(expected) > 0
    np.testing.assert_allclose(cost(d, (1, 0, 2)), expected)
    np.testing.assert_allclose(cost(d[:, [2, 0, 1]]), expected)


def test_a_key_gives_the_same_numbers_again_and_another_gives_others():
    key = tensors.convert_to_tensor([0, 0], dtype="uint32")
    one, two = (np.array(x) for x in keys(2, key))
    assert (one != two).any()
    assert (np.array(keys(2, key)) == np.stack([one, two])).all()
    draws = [np.array(uniform((50,), tensors.convert_to_tensor(x))) for x in (one, two)]
    assert (draws[0] != draws[1]).all() and (draws[0] > 0).all()
