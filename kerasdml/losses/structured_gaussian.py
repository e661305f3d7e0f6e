"""Structured Gaussian loss: classes as clouds of one width."""

import numbers

import keras
from keras import ops

from kerasdml.layers import Seed
from kerasdml.losses.base import MetricLoss
from kerasdml.step import step


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class StructuredGaussian(MetricLoss):
    """Makes the class of an example certain, were each class a Gaussian of one width.

    A reconstruction from code that its authors published for a sibling paper. With mu_c
    the mean of the embeddings of class c in the batch, of the C classes in it:

        p_c = softmax over c of -|x - mu_c|^2 / (2 sigma^2)
        loss = sum over c of (p_c - [c is the class of x])^2
             + compactness * |x - mu|^2 / (2 d sigma^2), with mu that of its own class

    The means are trained along. The first term lies between 0 and 2, and is 1 - 1 / C
    where all embeddings are equal. It asks for certainty alone: a class may be as wide
    as it likes while the others are farther, unless `compactness` says otherwise.
    One class alone has nothing to be told from and costs 0 without `compactness`. A
    class of one example is its own mean: let batches have two or more of each. An
    example labelled -1 has no class and no cost.

    Args:
        sigma: Width of every class, in units of distance, > 0. Authors' code: 0.5,
            formerly 1.
        compactness: Weight of the second term, at least 0, which is not in the authors'
            code.
        mixup: `None`, or what points between two random examples are to be, which are
            added in training, as many as examples: "soft", of each class by its share;
            "zero", of no class, unless both are of one, and counted in its mean, as in
            the authors' code. Only in steps that train, such as those of `fit`.
        mixup_alpha: The shares are drawn from a Beta(alpha, alpha) distribution, one a
            batch; a whole number, at least 1. Authors' code: 2.
        seed: Integer that the draws begin with; `None` takes a random one.
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `sigma` is not positive, `compactness` negative, `mixup` none of
            the above, or `mixup_alpha` no whole number of at least 1.

    Example:

    >>> embedder = kerasdml.models.Embedder("conv4", dim=64, normalize=False)
    >>> model = kerasdml.MetricModel(embedder, similarity="euclidean")
    >>> model.compile("adam", loss=kerasdml.losses.StructuredGaussian())

    The embeddings must not be normalised: `sigma` sets their scale.
    `kerasdml.metrics.centroid_accuracy` tells how many are nearest to their own mean.

    Source: Marrero Fernández et al., on Gaussian sub-spaces of facial expressions and
    their sub-classes; the formula is that of the authors' public code for a sibling
    paper (github.com/pedrodiamel/ferattention). That code leaves an example far from
    every mean without a gradient, by underflow, which a softmax does not; and it mixes
    class ids as it does embeddings, so that half way between classes 0 and 2 lies class
    1, where here there is no class, or a share of both.
    """

    def __init__(
        self,
        *,
        sigma=0.5,
        compactness=0.0,
        mixup=None,
        mixup_alpha=2,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if sigma <= 0 or compactness < 0:
            raise ValueError(
                "`sigma` must be positive and `compactness` not negative. "
                f"Received: sigma={sigma}, compactness={compactness}."
            )
        if mixup not in (None, "soft", "zero"):
            raise ValueError(
                f"`mixup` must be None, 'soft' or 'zero'. Received: mixup={mixup!r}."
            )
        if not isinstance(mixup_alpha, numbers.Integral) or mixup_alpha < 1:
            raise ValueError(
                "`mixup_alpha` must be a whole number of at least 1. "
                f"Received: mixup_alpha={mixup_alpha!r}."
            )
        self.sigma = sigma
        self.compactness = compactness
        self.mixup = mixup
        self.mixup_alpha = mixup_alpha
        self.seed = seed
        self.draws = Seed(seed=seed)

    @property
    def layers(self):
        return [self.draws] if self.mixup else []

    def costs(self, labels, embeddings):
        # Products of embeddings far from the origin would lose the distances' digits.
        x = embeddings - ops.stop_gradient(ops.mean(embeddings, axis=0))
        known = labels != -1
        same = ops.logical_and(labels[:, None] == labels, known)
        rows = ops.arange(ops.shape(labels)[0])
        repeated = ops.any(ops.logical_and(same, rows[:, None] < rows), axis=0)
        # The column of a class is that of its first example.
        columns = ops.logical_and(known, ops.logical_not(repeated))
        members = ops.cast(same, x.dtype)
        targets = ops.where(columns, members, 0.0)
        if self.mixup and step.training:
            mixed, mixed_targets, agree, both = self._mix(x, targets, labels, known)
            means = _means(
                ops.concatenate([members, members * agree], axis=1),
                ops.concatenate([x, mixed]),
            )
            costs = self._mismatch(x, targets, means, columns, known)
            costs += self._mismatch(mixed, mixed_targets, means, columns, both)
            costs = costs / 2.0
        else:
            means = _means(members, x)
            costs = self._mismatch(x, targets, means, columns, known)
        squares = ops.where(known, ops.sum((x - means) ** 2, axis=1), 0.0)
        width = 2.0 * embeddings.shape[1] * self.sigma**2
        return costs + self.compactness / width * squares

    def _mix(self, x, targets, labels, known):
        """Returns points between examples, what they are to be, and two `(q,)`.

        These are whether a point counts in the mean of its class, and whether it does
        in the loss.
        """
        stream = self.draws.seed_generator
        share, order = drawn_mixture(stream, self.mixup_alpha, ops.shape(labels)[0])
        share = ops.cast(share, x.dtype)

        def between(values):
            return share * values + (1.0 - share) * ops.take(values, order, axis=0)

        both = ops.logical_and(known, ops.take(known, order))
        agree = ops.cast(labels == ops.take(labels, order), x.dtype)
        if self.mixup == "soft":
            return between(x), between(targets), 0.0 * agree, both
        return between(x), targets * agree[:, None], agree, both

    def _mismatch(self, points, targets, means, columns, known):
        """Returns `(q,)` the squared error of the points' probabilities of classes."""
        products = ops.matmul(points, ops.transpose(means))
        logits = (products - ops.sum(means**2, axis=1) / 2.0) / self.sigma**2
        # Where there is no class at all, softmax would divide by 0.
        others = ops.logical_and(ops.any(columns), ops.logical_not(columns))
        errors = ops.softmax(ops.where(others, float("-inf"), logits)) - targets
        return ops.where(known, ops.sum(errors**2, axis=1), 0.0)


def drawn_mixture(stream, alpha, size):
    """Draws the share of the first of two examples, and `(size,)` the second ones.

    The median of 2 alpha - 1 even draws has the Beta(alpha, alpha) distribution, and
    unlike `keras.random.beta` it compiles under XLA.
    """
    share = ops.median(keras.random.uniform((2 * alpha - 1,), seed=stream))
    order = ops.argsort(keras.random.uniform((size,), seed=stream))
    return share, order


def _means(members, points):
    """Returns `(q, d)` means of the points that `members (q, n)` counts in each row."""
    counts = ops.sum(members, axis=1, keepdims=True)
    return ops.matmul(members, points) / ops.maximum(counts, 1.0)
