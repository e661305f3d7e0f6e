"""Several embeddings as one."""

import keras
from keras import ops

from kerasdml.config import Configured
from kerasdml.layers.ensemble_weights import EnsembleWeights
from kerasdml.ops import normalize


@keras.saving.register_keras_serializable(package="kerasdml.layers")
class WeightedHeads(Configured, keras.layers.Layer):
    """Joins embeddings, each scaled to length 1 and by the root of a trained weight.

    Called with a list of m embeddings `(b, d)`, it returns `(b, m * d)`, one after
    another. The squared distance of two results is the sum of the embeddings' squared
    distances by their weights. `losses.DiverseEnsemble` trains the weights, and keeps
    their sum at 1, which makes the results unit vectors. It computes in float32
    whatever the dtype policy.

    Args:
        prior: What the weights begin with, as in `layers.EnsembleWeights`.
        floor: Least weight, in parts of 1 / m.
        name: Name of the layer.

    Raises:
        ValueError: When built, if `prior` and `floor` do not fit the embeddings.
    """

    def __init__(self, *, prior=None, floor=0.25, name=None):
        super().__init__(name=name, dtype="float32")
        self.prior = None if prior is None else list(prior)
        self.floor = floor

    def build(self, input_shape):
        self.weighting = EnsembleWeights(
            count=len(input_shape), prior=self.prior, floor=self.floor
        )
        self.weighting.build()

    @property
    def values(self):
        """The weights, `(m,)`."""
        return self.weighting.values

    def call(self, heads):
        roots = ops.unstack(ops.sqrt(self.values), len(heads))
        scaled = [
            root * normalize(head) for root, head in zip(roots, heads, strict=True)
        ]
        return ops.concatenate(scaled, axis=-1)
