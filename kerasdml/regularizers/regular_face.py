"""RegularFace."""

import keras
from keras import ops

from kerasdml.config import Configured
from kerasdml.ops import normalize

# Rows compared with all at once; with 100,000 classes they take 100 MB.
_ROWS = 256


@keras.saving.register_keras_serializable(package="kerasdml.regularizers")
class RegularFace(Configured, keras.regularizers.Regularizer):
    """Pushes each proxy away from the one that is closest to it.

    The penalty is `weight` times the mean over the proxies of the largest cosine to
    another. Each step compares all with all, which takes time in the square of their
    number, but memory in their number.

    Args:
        weight: Of the penalty, beside a loss that is a mean over examples.

    Example:

    >>> regularizer = kerasdml.regularizers.RegularFace(weight=0.1)
    >>> kerasdml.losses.ArcFace(num_classes=100, regularizer=regularizer)

    Source: Zhao et al., "RegularFace: Deep Face Recognition via Exclusive
    Regularization", CVPR 2019, http://kaizhao.net/regularface.
    """

    def __init__(self, *, weight=1.0):
        self.weight = weight

    def __call__(self, x):
        x = normalize(ops.convert_to_tensor(x))
        closest = ops.take(x, _closest(ops.stop_gradient(x)), axis=0)
        return self.weight * ops.mean(ops.sum(x * closest, axis=1))


def _closest(x):
    """Returns `(c,)` which other row of `x (c, d)` has the largest product with it."""
    count = x.shape[0]
    columns = ops.arange(count)

    def of_rows(first):
        rows = ops.minimum(first + ops.arange(min(_ROWS, count)), count - 1)
        products = ops.matmul(ops.take(x, rows, axis=0), ops.transpose(x))
        products = ops.where(rows[:, None] == columns, float("-inf"), products)
        return ops.argmax(products, axis=1)

    return ops.reshape(ops.map(of_rows, columns[::_ROWS]), (-1,))[:count]
