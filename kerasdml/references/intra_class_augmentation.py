"""Intra-class adaptive augmentation."""

import keras
import numpy as np
from keras import ops

from kerasdml.layers.proxies import check_num_classes
from kerasdml.ops import check_classes
from kerasdml.references.base import Source
from kerasdml.references.class_ids import (
    check_class_ids,
    copies_of,
    no_references,
    rows_of_classes,
)
from kerasdml.references.counts import check_count
from kerasdml.references.neighbor_correction import NeighborCorrection


@keras.saving.register_keras_serializable(package="kerasdml.references")
class IntraClassAugmentation(Source):
    """Adds embeddings drawn around each embedding, as wide as its class varies.

    In training each copy of an embedding x is `x + sqrt(strength) * deviation * e`,
    with `e` standard normal and `deviation` that of the channel in its class, of which
    `callbacks.IntraClassStatistics` learns from the whole training set every so many
    epochs; with `correction`, classes of few embeddings lean on their neighbours.

    Copies are positives and negatives of all anchors but the one that they are drawn
    around, and no anchors themselves; their gradient goes to the embedding that they
    are drawn around. A class without a deviation has no copies: before statistics are
    there, and without correction also a class of one embedding. In evaluation, and
    without copies, the loss is the plain one.

    The embeddings should be raw (`models.Embedder(..., normalize=False)`): the loss
    scales them to length 1 afterwards, where its similarity asks for it.

    Args:
        num_classes: Number of classes, at least 2; labels are 0 … num_classes - 1, and
            -1 for none.
        copies: Copies of each embedding, at least 0. Paper: 3; the authors' code also
            2.
        strength: Share of a class's variance that is drawn, at least 0: lambda. Paper:
            0.6 to 0.8; the authors' commands: 0.5 to 0.8.
        momentum: What newer statistics leave of older ones, at most, in [0, 1]; 1 pools
            all. The authors' code: 0.2.
        correction: `NeighborCorrection`, `None`, or "auto": the default
            `NeighborCorrection()` where half of the classes have no more embeddings
            than its `small_class`. Paper: where classes are small.
        legacy_sqrt: Whether the second copy takes the square root of the deviation, the
            third that of the second's, and so on, as the released code does. Where
            variances are below 1, later copies are then far wider.
        seed: Integer that the draws begin with; `None` takes a random one.
        name: Name of the layer.

    Raises:
        ValueError: If an argument is outside its range; when called, if labels are
            tags.

    Example:

    >>> source = kerasdml.references.IntraClassAugmentation(num_classes=100)
    >>> model.compile("adam", loss=losses.MultiSimilarity(references=[source]))
    >>> statistics = kerasdml.callbacks.IntraClassStatistics(source, (images, labels))
    >>> model.fit(train, epochs=100, callbacks=[statistics])

    Source: Fu et al., "Intra-class Adaptive Augmentation with Neighbor Correction for
    Deep Metric Learning", TMM 2022, https://arxiv.org/abs/2211.16264, with diagonal
    covariances. The paper corrects (`NeighborCorrection`); its released code never
    does.
    """

    def __init__(
        self,
        *,
        num_classes,
        copies=3,
        strength=0.8,
        momentum=0.2,
        correction="auto",
        legacy_sqrt=False,
        seed=None,
        name="intra_class_augmentation",
    ):
        super().__init__(name=name)
        self.num_classes = check_num_classes(num_classes)
        self.copies = check_count("copies", copies, 0)
        if strength < 0 or not 0 <= momentum <= 1:
            raise ValueError(
                "`strength` must be at least 0 and `momentum` in [0, 1]. "
                f"Received: strength={strength}, momentum={momentum}."
            )
        if not isinstance(correction, (NeighborCorrection, type(None))) and (
            correction != "auto"
        ):
            raise ValueError(
                "`correction` must be 'auto', None or a `NeighborCorrection`. "
                f"Received: correction={correction!r}."
            )
        self.strength = strength
        self.momentum = momentum
        self.correction = correction
        self.legacy_sqrt = legacy_sqrt
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, dim):
        """Creates what is known of each class, `(num_classes, dim)` and `(…,)`.

        These are `means`, `variances` and how many embeddings they are of, `counts`;
        the corrected `deviations`; and `fade ()`, which multiplies `strength`.
        """

        def weight(name, *shape, **options):
            return self.add_weight(
                name=name,
                shape=shape,
                trainable=False,
                autocast=False,
                aggregation="only_first_replica",
                **{"initializer": "zeros", **options},
            )

        self.means = weight("means", self.num_classes, dim)
        self.variances = weight("variances", self.num_classes, dim)
        self.counts = weight("counts", self.num_classes, dtype="int32")
        self.deviations = weight("deviations", self.num_classes, dim)
        self.fade = weight("fade", initializer="ones")
        self.built = True

    def update(self, embeddings, labels):
        """Learns how classes vary, from the embeddings of the training set.

        Each class's moments are merged with what is known of it: the newer ones weigh
        their share of all embeddings so far, and at least `1 - momentum`. A class of
        one embedding has a mean and no variance.

        Args:
            embeddings: `(n, d)` array.
            labels: `(n,)` integers 0 … num_classes - 1, or -1, which is left out.

        Raises:
            ValueError: If embeddings are not `(n, d)` or not finite, if a label is
                outside, or if no class has two embeddings.
        """
        embeddings, labels = self._checked(embeddings, labels)
        means, variances, sizes = class_moments(embeddings, labels, self.num_classes)
        counts, old_means, old_variances = (
            ops.convert_to_numpy(x) for x in (self.counts, self.means, self.variances)
        )
        total = np.maximum(counts + sizes, 1)
        weight = np.where(sizes > 0, np.maximum(sizes / total, 1 - self.momentum), 0)
        weight = weight[:, None]
        drift = weight * (1 - weight) * (old_means - means) ** 2
        merged = (1 - weight) * old_variances + weight * variances + drift
        variances = np.where(sizes[:, None] == 1, old_variances, merged)
        means = (1 - weight) * old_means + weight * means
        self.means.assign(means)
        self.variances.assign(variances)
        self.counts.assign(counts + sizes)
        correction = self._correction(sizes)
        if correction is not None:
            variances = correction(means, variances, sizes)
        self.deviations.assign(np.sqrt(variances))

    def check_labels(self, labels):
        check_classes(labels, self.num_classes)

    def check_training_set(self, labels):
        """Raises a `ValueError` unless it can learn from a set with these labels."""
        check_classes(labels, self.num_classes)
        if np.bincount(labels[labels != -1], minlength=1).max() < 2:
            raise ValueError(
                "IntraClassAugmentation needs a class with two embeddings or more, to "
                f"learn how it varies. Received: {len(labels)} labels, no two alike."
            )

    def call(self, batch, training=None):
        check_class_ids(self, batch.labels)
        if not training or self.copies == 0:
            return no_references(batch)
        x = batch.embeddings
        classes, outside = rows_of_classes(batch.labels, self.num_classes)
        known = classes < self.num_classes
        deviations = ops.take(self.deviations, ops.where(known, classes, 0), axis=0)
        there = ops.logical_and(known, ops.any(deviations > 0.0, axis=1))
        if self.legacy_sqrt:
            powers = 0.5 ** ops.arange(self.copies, dtype=x.dtype)
            deviations = deviations ** powers[:, None, None]
        shape = (self.copies, *ops.shape(x))
        noise = keras.random.normal(shape, seed=self.seed_generator)
        drawn = x + ops.sqrt(self.strength * self.fade) * deviations * noise
        return copies_of(batch, ops.where(outside, float("nan"), drawn), where=there)

    def _correction(self, sizes):
        if self.correction != "auto":
            return self.correction
        correction = NeighborCorrection()
        small = np.median(sizes[sizes > 0]) <= correction.small_class
        return correction if small else None

    def _checked(self, embeddings, labels):
        embeddings = np.asarray(embeddings)
        labels = np.asarray(labels).reshape(-1)
        shape = (len(labels), self.means.shape[1])
        if embeddings.shape != shape or not np.isfinite(embeddings).all():
            raise ValueError(
                f"`embeddings` must be finite and of shape {shape}, one for each label."
                f" Received: shape {embeddings.shape}."
            )
        self.check_training_set(labels)
        known = labels != -1
        return embeddings[known], labels[known]


def class_moments(embeddings, labels, num_classes):
    """Returns each class's `means (c, d)`, `variances (c, d)` and `sizes (c,)`.

    A variance is the mean of squares, of n, not n - 1; of no embeddings it is 0.
    """
    sizes = np.bincount(labels, minlength=num_classes)
    present = np.flatnonzero(sizes)
    order = np.argsort(labels, kind="stable")
    starts = (np.cumsum(sizes) - sizes)[present]

    def class_means(x):
        found = np.zeros((num_classes, x.shape[1]))
        sums = np.add.reduceat(x[order], starts, axis=0, dtype="float64")
        found[present] = sums / sizes[present, None]
        return found

    means = class_means(embeddings)
    return means, class_means((embeddings - means[labels]) ** 2), sizes
