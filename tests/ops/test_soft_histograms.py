import numpy as np
from keras import ops

from kerasdml.ops import soft_histograms
from tests.conftest import compiled, value_and_gradient


def counts(positions, mask, bins):
    """What each pair of `mask` counts at each node, summed over the row."""
    pulse = np.maximum(0, 1 - np.abs(positions[:, :, None] - np.arange(bins + 1)))
    return np.sum(pulse * mask[:, :, None], axis=1)


def test_agrees_with_every_pair_at_every_node(pairs):
    s, positives, negatives = pairs
    positions = 3 * (1 + s)
    found = soft_histograms(positions, positives, negatives, 6)
    expected = [counts(positions, mask, 6) for mask in (positives, negatives)]
    np.testing.assert_allclose(found, np.stack(expected, axis=1), atol=1e-5)


def test_gradient_is_the_step_to_the_next_node(pairs):
    s, positives, negatives = pairs
    positions = (3.3 * (1 + s)).astype("float32")
    weights = np.random.default_rng(0).normal(size=(13, 2, 8)).astype("float32")

    def total(positives, negatives, x):
        return ops.sum(weights * soft_histograms(x, positives, negatives, 7))

    expected = np.zeros((13, 13))
    for i, j in np.ndindex(13, 13):
        cell = min(int(positions[i, j]), 6)
        for kind, mask in enumerate((positives, negatives)):
            if mask[i, j]:
                steps = weights[i, kind, cell : cell + 2]
                expected[i, j] += steps[1] - steps[0]
    _, gradient = value_and_gradient(
        lambda x: total(positives, negatives, x), positions
    )
    np.testing.assert_allclose(gradient, expected, atol=1e-6)
    function = compiled(total)
    _, gradient = value_and_gradient(
        lambda x: function(positives, negatives, x), positions
    )
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_the_ends_count_at_the_first_and_the_last_node():
    positions = np.array([[0.0, 4.0, 2.0]], "float32")
    positive = np.array([[True, True, False]])
    found = soft_histograms(positions, positive, ~positive, 4)
    np.testing.assert_array_equal(found, [[[1, 0, 0, 0, 1], [0, 0, 1, 0, 0]]])
