"""A small network that predicts one embedding from another."""

import numbers

import keras
from keras import ops

from kerasdml.layers.stateful import StatefulLayer


@keras.saving.register_keras_serializable(package="kerasdml.layers")
class Predictor(StatefulLayer):
    """Two dense layers with a bottleneck, from embeddings to embeddings of their size.

    Between them are layer normalisation and a ReLU. It computes in the dtype of what it
    is called with.

    Args:
        hidden: Size of the hidden layer, at least 1; `None` takes a quarter of the
            embedding's size, but no less than 8.
        name: Name of the layer.

    Raises:
        ValueError: If `hidden` is no integer of at least 1.
    """

    def __init__(self, *, hidden=None, name="predictor"):
        super().__init__(name=name)
        self.autocast = False
        if hidden is not None and not (
            isinstance(hidden, numbers.Integral) and hidden >= 1
        ):
            raise ValueError(
                "`hidden` must be an integer of at least 1, or None. "
                f"Received: hidden={hidden!r}."
            )
        self.hidden = hidden

    def build(self, dim):
        """Creates the weights for embeddings of size `dim`."""
        hidden = self.hidden or max(dim // 4, 8)
        for name, shape in [("narrow", (dim, hidden)), ("widen", (hidden, dim))]:
            kernel = self.add_weight(name=f"{name}_kernel", shape=shape)
            bias = self.add_weight(
                name=f"{name}_bias", shape=shape[1:], initializer="zeros"
            )
            setattr(self, name, (kernel, bias))
        self.built = True

    def call(self, embeddings):
        x = _dense(embeddings, *self.narrow)
        return _dense(ops.relu(_standardized(x)), *self.widen)


def _dense(x, kernel, bias):
    return ops.matmul(x, ops.cast(kernel, x.dtype)) + ops.cast(bias, x.dtype)


def _standardized(x):
    x = x - ops.mean(x, axis=1, keepdims=True)
    return x * ops.rsqrt(ops.mean(x**2, axis=1, keepdims=True) + 1e-5)
