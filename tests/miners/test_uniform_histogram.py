import numpy as np
import pytest

from kerasdml.miners import UniformHistogram


def made(**arguments):
    miner = UniformHistogram(seed=0, **arguments)
    for layer in miner.layers:
        layer.build(5)
    return miner


def test_keeps_as_many_of_each_bin_on_average():
    # Of four bins from 0 to 1, with 40, 800, 5 and 155 pairs, 20 are to be kept.
    sizes = [40, 800, 5, 155]
    s = np.repeat([0.0, 0.3, 0.6, 1.0], sizes).astype("float32").reshape(10, 100)
    every = np.ones((10, 100), bool)
    miner = made(bins=4, negatives_per_bin=20)
    draws = [np.array(miner(s, ~every, every)[1]) for _ in range(100)]
    kept = [np.mean([draw[s == x].sum() for draw in draws]) for x in np.unique(s)]
    # A standard deviation of one draw is at most sqrt(20), of the mean of 100, 0.45.
    np.testing.assert_allclose(kept, [20, 20, 5, 20], atol=2.0)


def test_bins_of_each_kind_span_its_own_similarities():
    # With one pair in each of ten bins, all are kept; the negatives share one place.
    s = np.array([[*np.linspace(-1, 1, 10), *[0.5] * 1000]], "float32")
    positive = np.arange(1010)[None] < 10
    miner = made(bins=10, positives_per_bin=1, negatives_per_bin=100)
    positives, negatives = map(np.array, miner(s, positive, ~positive))
    np.testing.assert_array_equal(positives, positive)
    assert 50 < negatives.sum() < 150


def test_rejects_numbers_below_1():
    for bad in ("bins", "positives_per_bin", "negatives_per_bin"):
        with pytest.raises(ValueError, match="must be at least 1. Received: bins="):
            UniformHistogram(**{bad: 0})
