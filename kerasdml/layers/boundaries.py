"""Learned distances that part the positives of an anchor from its negatives."""

import keras
from keras import ops

from kerasdml.layers.proxies import check_num_classes
from kerasdml.layers.stateful import StatefulLayer


@keras.saving.register_keras_serializable(package="kerasdml.layers")
class Boundaries(StatefulLayer):
    """One learned distance, or one for each class.

    An optimizer tells them apart by their path, such as `margin/boundaries/distances`.

    Args:
        num_classes: Number of classes, at least 2, that have a boundary each; `None`
            for one that all classes share.
        initial: The distance that they start at.
        learned: Whether they are trained.
        name: Name of the layer.

    Raises:
        ValueError: If `num_classes` is neither `None` nor an integer of at least 2.
    """

    def __init__(
        self, *, num_classes=None, initial=1.2, learned=True, name="boundaries"
    ):
        super().__init__(name=name)
        self.num_classes = (
            None if num_classes is None else check_num_classes(num_classes)
        )
        self.initial = initial
        self.learned = learned

    def build(self, dim):
        """Creates `distances (num_classes,)`, or `(1,)` where all classes share one."""
        del dim
        self.distances = self.add_weight(
            name="distances",
            shape=(self.num_classes or 1,),
            initializer=keras.initializers.Constant(self.initial),
            trainable=self.learned,
            autocast=False,
        )
        self.built = True

    def of(self, labels):
        """Returns the boundaries of examples with `labels (q,)`, as `(q, 1)`.

        Without a class, -1, it is any; NaN for a class outside 0 … num_classes - 1.
        """
        if self.num_classes is None:
            return ops.reshape(self.distances, (1, 1))
        rows = ops.clip(labels, 0, self.num_classes - 1)
        outside = ops.logical_or(labels < -1, labels >= self.num_classes)
        distances = ops.take(self.distances, rows, axis=0)
        return ops.where(outside, float("nan"), distances)[:, None]
