"""Weights of samples, so that wrongly labelled ones are left out of training."""

import numpy as np

_ROWS = 1024


def solve_sample_weights(
    pair_costs,
    labels,
    weights,
    *,
    age,
    rate,
    balance=0.5,
    passes=10,
    block=256,
    partners=512,
    seed=0,
):
    """Lowers the cost of the weighted samples, which weigh 0 … 1.

    With `l_ij` the costs of pairs, `v` the n weights and `a_c` the mean weight of class
    c, of C classes, the objective is

        sum_ij v_i v_j l_ij / n^2 - age * mean(v) + balance * mean over c of
                                                    (a_c - mean of a)^2

    A sample whose `mean_pair_costs` are above `age` loses weight, and gains it below;
    `balance` keeps classes from being dropped as wholes. The objective is not convex.
    It is lowered by doubly stochastic projected steps: in random order blocks of
    weights are moved against their slopes, which are estimated from random partners,
    and cut to 0 … 1. Small steps from equal weights find the samples that fit least;
    exact ones from an `age` that is too small keep nothing but these.

    Args:
        pair_costs: Function of positions `(b,)` and `(p,)` that returns the `(b, p)`
            costs of their pairs, at least 0, symmetric, and 0 of a sample with itself.
        labels: `(n,)` integers, the classes.
        weights: `(n,)` numbers in 0 … 1 to begin with.
        age: What a sample may cost, in units of `pair_costs`.
        rate: Length of the steps of the first pass, in weight per unit of cost, > 0;
            that of pass p, from 0, is `rate / sqrt(1 + p)`.
        balance: Weight of the spread of the classes' mean weights, at least 0.
        passes: How often each weight is moved, at least 1.
        block: Weights moved at a time.
        partners: Samples that the slopes of a block are estimated from, at most n of
            which are there.
        seed: Non-negative integer of the random order and partners.

    Returns:
        `(n,)` float64 weights in 0 … 1.

    Source: as of `losses.DenoisingMultiSimilarity`, a reconstruction.
    """
    rng = np.random.default_rng(seed)
    weights = np.array(weights, "float64")
    n = len(weights)
    _, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    sums = np.bincount(classes, weights)
    for done in range(passes):
        for rows in np.array_split(rng.permutation(n), -(-n // block)):
            columns = rng.choice(n, min(partners, n), replace=False)
            means = sums / sizes
            excess = 2.0 / len(sizes) * (means - np.mean(means)) * n / sizes
            # n times the objective's slopes, so that they do not shrink with n.
            slopes = _mean_costs(pair_costs, weights, rows, columns) - age
            slopes += balance * excess[classes[rows]]
            moved = np.clip(weights[rows] - rate / np.sqrt(1 + done) * slopes, 0, 1)
            np.add.at(sums, classes[rows], moved - weights[rows])
            weights[rows] = moved
    return weights


def mean_pair_costs(pair_costs, weights, partners=4096, seed=0):
    """Estimates what each sample costs: `2 / n * sum_j v_j l_ij`.

    Args:
        pair_costs: As in `solve_sample_weights`.
        weights: `(n,)` the weights v.
        partners: Random samples j to estimate it from; exact where n is no larger.
        seed: Non-negative integer that chooses them.

    Returns:
        `(n,)` float64.
    """
    n = len(weights)
    columns = np.random.default_rng(seed).choice(n, min(partners, n), replace=False)
    parts = np.array_split(np.arange(n), -(-n // _ROWS))
    return np.concatenate(
        [_mean_costs(pair_costs, weights, rows, columns) for rows in parts]
    )


def _mean_costs(pair_costs, weights, rows, columns):
    costs = np.asarray(pair_costs(rows, columns), "float64")
    return 2.0 * (costs @ np.asarray(weights, "float64")[columns]) / len(columns)
