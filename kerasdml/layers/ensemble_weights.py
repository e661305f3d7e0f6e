"""Trained weights of the parts of an ensemble."""

import keras
import numpy as np
from keras import ops

from kerasdml.layers.stateful import StatefulLayer


@keras.saving.register_keras_serializable(package="kerasdml.layers")
class EnsembleWeights(StatefulLayer):
    """One trained weight for each of m parts, none of which can be switched off.

        w_i = root_i^2 + floor / m

    with trained roots, from which at first w is the prior. Nothing here makes the
    weights sum to 1 as they train: the loss does.

    Args:
        count: Number m of parts, at least 1.
        prior: m positive numbers, in proportion to which the weights begin, with the
            sum 1; `None`: all equal.
        floor: Least weight, in parts of 1 / m; at least 0, and below every part's share
            of the prior.
        name: Name of the layer.

    Raises:
        ValueError: If `prior` is not as above, or `floor` is out of its range.
    """

    def __init__(self, *, count, prior=None, floor=0.25, name="ensemble_weights"):
        super().__init__(name=name)
        self.count = count
        self.prior = None if prior is None else list(prior)
        self.floor = floor
        given = self.prior or [1.0] * count
        if len(given) != count or min(given) <= 0:
            raise ValueError(
                f"`prior` must be {count} positive numbers, one a part. "
                f"Received: prior={prior}."
            )
        shares = np.array(given) / sum(given)
        if floor < 0 or min(shares) <= floor / count:
            raise ValueError(
                "`floor` must be at least 0 and, divided by the number of parts, below "
                "the share that `prior` gives each. "
                f"Received: floor={floor}, prior={prior}, {count} parts."
            )
        self._roots = np.sqrt(shares - floor / count)

    def build(self, dim=None):
        """Creates `roots (m,)`, whatever the size of the embeddings."""
        del dim
        self.roots = self.add_weight(
            name="roots",
            shape=(self.count,),
            initializer=lambda shape, dtype=None: ops.cast(self._roots, dtype),
            autocast=False,
        )
        self.built = True

    @property
    def values(self):
        """The weights, `(m,)`."""
        return self.roots**2 + self.floor / self.count
