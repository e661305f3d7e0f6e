"""KoLeo: nearest neighbours pushed apart."""

import keras
from keras import ops

from kerasdml.losses.base import MetricLoss
from kerasdml.ops import normalize, safe_sqrt


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class KoLeo(MetricLoss):
    """Spreads embeddings evenly over the sphere: a term to be added to another loss.

    Every embedding is pushed from its nearest neighbour in the batch, whatever the
    class of either, all lengths scaled to 1:

        loss = -log(distance to the nearest neighbour + epsilon)

    which estimates the entropy of the embeddings (Kozachenko and Leonenko), less a
    constant. The push is 1 over the distance; a copy of another example, whose
    direction away from it is anyone's guess, has no gradient. It does not look at
    labels. An example alone in its batch costs nothing.

    Args:
        epsilon: Distance that keeps the logarithm finite, > 0. DINOv2: 1e-8.
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `epsilon` is not positive.

    Example:

    >>> loss = losses.Triplet() + 0.1 * losses.KoLeo()

    Source: Sablayrolles et al., "Spreading vectors for similarity search", ICLR 2019,
    https://arxiv.org/abs/1806.03198; added with the weight 0.1 by Oquab et al.,
    "DINOv2", 2023, whose code adds a further 1e-8 to each coordinate's difference.
    """

    takes_tags = True

    def __init__(self, *, epsilon=1e-8, **kwargs):
        super().__init__(**kwargs)
        if epsilon <= 0:
            raise ValueError(
                f"`epsilon` must be positive. Received: epsilon={epsilon}."
            )
        self.epsilon = epsilon

    def costs(self, labels, embeddings):
        del labels
        x = normalize(embeddings)
        cosines = ops.stop_gradient(ops.matmul(x, ops.transpose(x)))
        rows = ops.arange(ops.shape(x)[0])
        others = rows[:, None] != rows
        nearest = ops.argmax(ops.where(others, cosines, float("-inf")), axis=1)
        # Not from the cosines, which cannot tell close neighbours from copies.
        squares = ops.sum((x - ops.take(x, nearest, axis=0)) ** 2, axis=1)
        costs = -ops.log(safe_sqrt(squares, scale=0.0) + self.epsilon)
        return ops.where(ops.any(others, axis=1), costs, 0.0)
