"""Center loss."""

import keras
from keras import ops

from kerasdml.layers import Proxies
from kerasdml.losses.base import ClassLoss
from kerasdml.step import step


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class Center(ClassLoss):
    """Pulls each embedding to the center of its class, which follows its examples.

    The cost is `||x - center||^2 / 2`, of the embeddings as they come: not scaled to
    length 1. Alone it is least where all embeddings are equal; it is meant to be added
    to a loss that tells classes apart.

    A step of training moves the center of each class in the batch by `rate` times the
    sum of its n examples' offsets `x - center`, over `1 + n`. That is the paper's rule,
    which depends neither on the optimizer, nor on the weight of the loss in a sum; as
    trained weights the centers would be as fast as both of them make them.

    Pair weight: of an example and its center, their distance; there are no others.

    Args:
        num_classes: Number of classes, at least 2.
        rate: How far a step takes the centers, above 0 and at most 1. Paper: 0.5.
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `rate` is outside its range, or `num_classes` is below 2.

    Example:

    >>> loss = kerasdml.losses.NormalizedSoftmax(num_classes=100)
    >>> loss = loss + 0.003 * kerasdml.losses.Center(num_classes=100)
    >>> model.compile("adam", loss=loss)

    Source: Wen et al., "A Discriminative Feature Learning Approach for Deep Face
    Recognition", ECCV 2016, https://doi.org/10.1007/978-3-319-46478-7_31, which weighs
    it with 0.003, as a sum over the batch; this, as the authors' code, is a mean.
    Centers start at the origin.
    """

    def __init__(self, *, num_classes, rate=0.5, **kwargs):
        super().__init__(num_classes=num_classes, **kwargs)
        if not 0 < rate <= 1:
            raise ValueError(f"`rate` must be in (0, 1]. Received: rate={rate}.")
        self.rate = rate
        self.centers = Proxies(num_classes, "zeros", name="centers")
        self.centers.trainable = False

    @property
    def layers(self):
        return [self.centers]

    def class_costs(self, labels, embeddings):
        known = ops.logical_and(labels >= 0, labels < self.num_classes)
        classes = ops.where(known, labels, 0)
        centers = ops.take(self.centers.points, classes, axis=0)
        offsets = embeddings - ops.cast(centers, embeddings.dtype)
        offsets = ops.where(known[:, None], offsets, 0.0)
        if step.training:
            self._move_centers(classes, known, ops.stop_gradient(offsets))
        return 0.5 * ops.sum(offsets**2, axis=1)

    def _move_centers(self, classes, known, offsets):
        points = self.centers.points
        counts = ops.segment_sum(
            ops.cast(known, points.dtype), classes, num_segments=self.num_classes
        )
        sums = ops.segment_sum(
            ops.cast(offsets, points.dtype), classes, num_segments=self.num_classes
        )
        points.assign(points + self.rate * sums / (1.0 + counts[:, None]))
