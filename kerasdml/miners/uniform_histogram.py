"""Mining of all similarities alike."""

import keras
from keras import ops

from kerasdml.layers import Seed
from kerasdml.miners.base import Miner


@keras.saving.register_keras_serializable(package="kerasdml.miners")
class UniformHistogram(Miner):
    """Keeps as many pairs of rare similarities as of frequent ones.

    From the least similar positive pair of the batch to the most, similarities are
    divided into `bins`, and so are those of negatives. A pair is kept with the
    probability that leaves its bin `positives_per_bin` or `negatives_per_bin` of its
    pairs on average, or all of them if it has no more.

    Args:
        bins: Number of bins of each kind, at least 1. Default: 100.
        positives_per_bin: How many positive pairs of a bin to keep on average, at
            least 1. Default: 10.
        negatives_per_bin: The same of negative pairs. Default: 10.
        seed: Integer that the draws follow from; `None` takes a random one.

    Raises:
        ValueError: If a number is below 1.

    Example:

    >>> miner = kerasdml.miners.UniformHistogram()
    >>> model.compile("adam", loss=kerasdml.losses.Contrastive(miner=miner))

    Source: no paper; pytorch-metric-learning's `UniformHistogramMiner`, which draws
    exactly so many pairs of each bin that has any, with repetition: a pair alone in its
    bin is there ten times, and counts as often; a selection of pairs cannot repeat.
    """

    row_wise = False

    def __init__(
        self, *, bins=100, positives_per_bin=10, negatives_per_bin=10, seed=None
    ):
        if bins < 1 or positives_per_bin < 1 or negatives_per_bin < 1:
            raise ValueError(
                "`bins`, `positives_per_bin` and `negatives_per_bin` must be at least "
                f"1. Received: bins={bins}, positives_per_bin={positives_per_bin}, "
                f"negatives_per_bin={negatives_per_bin}."
            )
        self.bins = bins
        self.positives_per_bin = positives_per_bin
        self.negatives_per_bin = negatives_per_bin
        self.seed = seed
        self.draws = Seed(seed=seed, name="uniform_histogram")

    @property
    def layers(self):
        return [self.draws]

    def __call__(self, similarities, positives, negatives):
        return (
            self._drawn(similarities, positives, self.positives_per_bin),
            self._drawn(similarities, negatives, self.negatives_per_bin),
        )

    def _drawn(self, similarities, mask, per_bin):
        counts = ops.take(*self._counts_and_bins(similarities, mask))
        uniform = keras.random.uniform(
            ops.shape(similarities), dtype="float32", seed=self.draws.seed_generator
        )
        return ops.logical_and(mask, uniform * counts < per_bin)

    def _counts_and_bins(self, similarities, mask):
        """Returns the number of pairs in each bin, `(bins,)`, and bins `(q, r)`."""
        least = ops.min(ops.where(mask, similarities, float("inf")))
        most = ops.max(ops.where(mask, similarities, float("-inf")))
        width = (most - least) / self.bins
        some = width > 0.0
        places = (similarities - ops.where(some, least, 0.0)) / ops.where(
            some, width, 1.0
        )
        # The most similar pair is in the last bin; what is no pair, anywhere.
        places = ops.cast(ops.clip(places, 0, self.bins - 1), "int32")
        counts = ops.segment_sum(
            ops.reshape(ops.cast(mask, "float32"), (-1,)),
            ops.reshape(places, (-1,)),
            num_segments=self.bins,
        )
        return counts, places
