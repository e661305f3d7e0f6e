"""Distance-weighted sampling of negatives."""

import keras
from keras import ops

from kerasdml.layers import Seed
from kerasdml.miners.base import Miner
from kerasdml.ops.ranking import FEW


@keras.saving.register_keras_serializable(package="kerasdml.miners")
class DistanceWeighted(Miner):
    """Draws negatives so that all distances are seen about equally often.

    On a sphere nearly all points are at a distance of about sqrt(2), where negatives
    teach nothing. So a negative at distance `d`, in `dim` dimensions, is drawn with a
    probability proportional to the inverse of how dense points are there:

        1 / density = d^(2 - dim) * (1 - d^2 / 4)^((3 - dim) / 2)

    What is closer than `cutoff` counts as being there, and what is not closer than
    `farthest` is not drawn, unless an anchor has no closer negative: then all of its
    negatives are equally probable. Positives are all kept.

    An anchor draws distinct negatives, one after the other, as long as it has any that
    can be drawn; the paper's may repeat, which a selection of pairs cannot tell.
    Probabilities are compared within a row, on a log scale, and never underflow.

    It is for losses with `similarity="cosine"`, from which the distances of unit
    vectors follow.

    Args:
        cutoff: The distance of unit vectors below which the probability rises no
            further, above 0. Paper: 0.5.
        farthest: The distance, above `cutoff` and at most 2, from which on negatives
            are left out. The authors' code: 1.4, where the loss `Margin` has no cost.
        count: How many negatives an anchor draws, at least 1; `None`, the default, as
            many as it has positives, as in the paper.
        seed: Integer that the draws follow from; `None` takes a random one.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> miner = kerasdml.miners.DistanceWeighted()
    >>> model.compile("adam", loss=kerasdml.losses.Margin(miner=miner))

    Source: Wu et al., "Sampling Matters in Deep Embedding Learning", ICCV 2017,
    https://arxiv.org/abs/1706.07567. The authors' code scales the probabilities by the
    largest of the whole batch, so that rows of distant negatives underflow and are
    drawn from uniformly; this does not.
    """

    row_wise = False

    def __init__(self, *, cutoff=0.5, farthest=1.4, count=None, seed=None):
        if not 0 < cutoff < farthest <= 2:
            raise ValueError(
                "`cutoff` must be above 0 and below `farthest`, which must be at most "
                f"2. Received: cutoff={cutoff}, farthest={farthest}."
            )
        if count is not None and count < 1:
            raise ValueError(
                f"`count` must be at least 1, or `None`. Received: count={count}."
            )
        self.cutoff = cutoff
        self.farthest = farthest
        self.count = count
        self.seed = seed
        self.draws = _Draws(seed=seed, name="distance_weighted")

    @property
    def layers(self):
        return [self.draws]

    def __call__(self, similarities, positives, negatives):
        logits = self.log_weights(similarities, negatives)
        counts = ops.sum(ops.cast(positives, "int32"), axis=1, keepdims=True)
        if self.count is not None:
            counts = ops.full_like(counts, self.count)
        # The largest of log weights plus Gumbel noise are a draw without repetition.
        noisy = logits + ops.cast(self.draws.gumbel(ops.shape(logits)), logits.dtype)
        drawn = ops.logical_and(noisy >= _nth_largest(noisy, counts), counts > 0)
        return positives, ops.logical_and(drawn, logits > float("-inf"))

    def log_weights(self, similarities, negatives):
        """Returns `(q, r)` logs of unscaled probabilities; -inf where there is none."""
        squares = ops.maximum(2.0 - 2.0 * similarities, self.cutoff**2)
        close = ops.logical_and(negatives, squares < self.farthest**2)
        squares = ops.where(close, squares, 1.0)
        dim = float(self.draws.dim)
        weights = (2.0 - dim) / 2.0 * ops.log(squares)
        weights -= (dim - 3.0) / 2.0 * ops.log1p(-squares / 4.0)
        some = ops.any(close, axis=1, keepdims=True)
        drawable = ops.where(some, close, negatives)
        weights = ops.where(close, weights, 0.0)
        return ops.where(drawable, weights, float("-inf"))


class _Draws(Seed):
    """The random numbers, and the size of the embeddings."""

    def build(self, dim):
        self.dim = dim
        self.built = True

    def gumbel(self, shape):
        """Returns standard Gumbel noise."""
        tiny = 1e-30  # log(0) would be infinite
        u = keras.random.uniform(shape, minval=tiny, seed=self.seed_generator)
        return -ops.log(-ops.log(u))


def _nth_largest(x, n):
    """Returns the n-th largest of each row of `x (q, r)`, n being `(q, 1)`.

    Where n exceeds r it is the least, or below it.
    """

    def by_passes():
        def find(i, least):
            below = ops.where(x < least, x, float("-inf"))
            below = ops.max(below, axis=1, keepdims=True)
            return i + 1, ops.where(i < n, below, least)

        start = ops.zeros((), "int32"), ops.full_like(x[:, :1], float("inf"))
        return ops.while_loop(lambda i, _: i < most, find, start)[1]

    def by_sorting():
        places = ops.clip(n - 1, 0, ops.shape(x)[1] - 1)
        return ops.take_along_axis(-ops.sort(-x, axis=1), places, axis=1)

    most = ops.max(n)
    return ops.cond(most <= FEW, by_passes, by_sorting)
