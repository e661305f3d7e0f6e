import numpy as np
import pytest

from kerasdml.ops import mean_pair_costs, solve_sample_weights

# Costs of unit vectors at 0, 20, 90 and 10 degrees with labels 0, 0, 1, 1, of which the
# last is wrong, by the formula of `losses.DenoisingMultiSimilarity`.
COSTS = np.array(
    [
        [0, 0.173578, 0, 0.484808],
        [0.173578, 0, 0.000007, 0.484808],
        [0, 0.000007, 0, 0.535916],
        [0.484808, 0.484808, 0.535916, 0],
    ]
)
LABELS = np.array([0, 0, 1, 1])


def between(costs):
    return lambda rows, columns: costs[np.ix_(rows, columns)]


def objective(costs, labels, v, age, balance):
    """The specification's objective, pair by pair."""
    n = len(v)
    pairs = sum(v[i] * v[j] * costs[i, j] for i in range(n) for j in range(n))
    means = [np.mean(v[labels == c]) for c in np.unique(labels)]
    spread = np.mean([(a - np.mean(means)) ** 2 for a in means])
    return pairs / n**2 - age * np.mean(v) + balance * spread


def solve(costs=COSTS, labels=LABELS, weights=None, **arguments):
    weights = np.ones(len(labels)) if weights is None else weights
    arguments = {"balance": 0.0, "rate": 0.5, "passes": 2000, **arguments}
    return solve_sample_weights(between(costs), labels, weights, **arguments)


@pytest.mark.parametrize(
    "age, balance, expected, value",
    [
        (0.5, 0.0, [1, 1, 1, 0], -0.3533018),
        (1.0, 0.0, [1, 1, 1, 1], -0.7901103),
        (0.5, 0.6, [1, 1, 1, 0.157447], -0.3167314),
        # Exact steps, one weight at a time, would end at (0, 0, 0, 1).
        (0.1, 0.0, [1, 1, 1, 0], -0.0533018),
    ],
)
def test_finds_the_lowest_of_four_samples(age, balance, expected, value):
    found = solve(age=age, balance=balance)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    lowest = objective(COSTS, LABELS, found, age, balance)
    np.testing.assert_allclose(lowest, value, atol=1e-6)


@pytest.mark.parametrize("block, partners", [(1, 512), (64, 2)])
def test_random_blocks_and_partners_lead_to_the_same(block, partners):
    found = solve(age=0.5, block=block, partners=partners, rate=0.2)
    np.testing.assert_allclose(found, [1, 1, 1, 0], atol=0.02)


def test_a_step_follows_the_slope_of_the_objective():
    rng = np.random.default_rng(0)
    labels = np.array([0, 0, 0, 4, 4, 7, 7, 7, 7])
    costs = rng.random((9, 9))
    costs += costs.T
    np.fill_diagonal(costs, 0)
    v, rate, delta = rng.uniform(0.3, 0.7, 9), 1e-3, 1e-5
    arguments = {"age": 0.4, "balance": 0.8}
    moved = solve(costs, labels, v, rate=rate, passes=1, **arguments)
    for i in range(9):
        at = [
            objective(costs, labels, v + d * np.eye(9)[i], **arguments)
            for d in (delta, -delta)
        ]
        slope = (at[0] - at[1]) / (2 * delta)
        np.testing.assert_allclose((moved - v)[i], -rate * 9 * slope, rtol=1e-6)


def test_weights_stay_within_their_range_and_the_objective_falls():
    rng = np.random.default_rng(1)
    labels, costs = np.arange(40) % 5, rng.random((40, 40))
    costs += costs.T
    np.fill_diagonal(costs, 0)
    v = rng.random(40)
    found = solve(costs, labels, v, age=0.9, balance=0.5, passes=20, block=8)
    assert (found >= 0).all() and (found <= 1).all()
    before, after = (objective(costs, labels, x, 0.9, 0.5) for x in (v, found))
    assert after < before


def test_permuted_samples_get_the_permuted_weights():
    order = np.array([2, 0, 3, 1])
    found = solve(COSTS[np.ix_(order, order)], LABELS[order] + 5, age=0.5, balance=0.6)
    np.testing.assert_allclose(found, [1, 1, 0.157447, 1], atol=1e-4)


def test_the_weights_given_are_left_as_they_are():
    v = np.full(4, 0.5)
    solve(weights=v, age=0.5, passes=1)
    np.testing.assert_array_equal(v, 0.5)


def test_what_a_sample_costs_is_its_row_over_half_the_samples():
    found = mean_pair_costs(between(COSTS), np.array([1, 1, 1, 0.5]))
    # 2 / 4 times 0.173578 + 0.484808 / 2, ... and of the last the whole row.
    expected = [0.207991, 0.207995, 0.133983, 0.752766]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    rng = np.random.default_rng(0)
    costs = rng.random((2000, 2000))
    some = mean_pair_costs(between(costs), np.ones(2000), partners=500)
    assert abs(np.mean(some) - 1.0) < 0.01
