"""Center-invariant regularizer."""

import keras
from keras import ops

from kerasdml.config import Configured


@keras.saving.register_keras_serializable(package="kerasdml.regularizers")
class CenterInvariant(Configured, keras.regularizers.Regularizer):
    """Makes the proxies of all classes equally long, so that rare ones are not weaker.

    The penalty is `weight / 4` times the variance of their squared lengths. It matters
    to losses of raw embeddings, such as `losses.LargeMarginSoftmax`.

    Args:
        weight: Of the penalty, beside a loss that is a mean over examples.

    Example:

    >>> regularizer = kerasdml.regularizers.CenterInvariant(weight=0.1)
    >>> kerasdml.losses.LargeMarginSoftmax(num_classes=100, regularizer=regularizer)

    Source: Wu et al., "Deep Face Recognition with Center Invariant Loss", ACM
    Multimedia Workshops 2017, https://doi.org/10.1145/3126686.3126693, which sums over
    the examples of the batch, each with its class's proxy; as in
    pytorch-metric-learning, this is a mean over all proxies.
    """

    def __init__(self, *, weight=1.0):
        self.weight = weight

    def __call__(self, x):
        squares = ops.sum(ops.convert_to_tensor(x) ** 2, axis=-1)
        return self.weight * ops.var(squares) / 4.0
