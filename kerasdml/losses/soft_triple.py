"""SoftTriple loss."""

import keras
from keras import ops

from kerasdml.layers.proxies import check_per_class
from kerasdml.losses.base import ProxyLoss
from kerasdml.ops import center_distances, class_similarities, of_own, softmax_costs


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class SoftTriple(ProxyLoss):
    """Tells classes apart by softmax, where each has several centers.

    With `s_k` the cosines to the K centers of a class, y the example's class and L the
    mean over classes of half the mean distance between two centers of the class:

        S    = sum_k softmax(s / temperature)_k s_k             for each class
        loss = -log softmax(scale * (S - margin at y))_y + tau * L

    The last term draws needless centers together; it is added to every cost.

    Pair weight: that of a class is `scale` times its share of the softmax (of the own,
    1 less its share). A center has a part of it, `softmax_k (1 + (s_k - S) /
    temperature)`: it is negative for a center that is far behind the class's closest,
    so that far centers of the own class are pushed away, and centers specialize.

    Args:
        num_classes: Number of classes, at least 2.
        per_class: Centers a class has, at least 1. Paper: 10.
        scale: Of the logits, per unit of cosine, > 0. Paper: 20.
        temperature: Of the softmax over a class's centers, in units of cosine, > 0.
            Paper: 0.1. Near 0 the closest center speaks for the class; with infinity
            it is the mean of all.
        margin: Cosine that the own class must be ahead by, at least 0. Paper: 0.01.
        tau: Weight of the last term, at least 0. Paper: 0.2.
        **kwargs: `regularizer`, and Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> model = kerasdml.MetricModel(embedder)
    >>> model.compile("adam", loss=kerasdml.losses.SoftTriple(num_classes=100))

    The authors train the centers 100 times faster than the rest:
    `keras.optimizers.MultiOptimizer` with the pattern `"(.*/)?proxies/.*"`.

    Source: Qian et al., "SoftTriple Loss: Deep Metric Learning Without Triplet
    Sampling", ICCV 2019, https://arxiv.org/abs/1909.05235. As in the authors' code the
    square of a distance in L has 1e-5 added, and L is half the mean over pairs. Their
    embeddings are of length 1 by the network; here any are scaled to it.
    """

    def __init__(
        self,
        *,
        num_classes,
        per_class=10,
        scale=20.0,
        temperature=0.1,
        margin=0.01,
        tau=0.2,
        **kwargs,
    ):
        self.per_class = check_per_class(per_class)
        super().__init__(num_classes=num_classes, **kwargs)
        if scale <= 0 or temperature <= 0 or margin < 0 or tau < 0:
            raise ValueError(
                "`scale` and `temperature` must be positive, `margin` and `tau` not "
                f"negative. Received: scale={scale}, temperature={temperature}, "
                f"margin={margin}, tau={tau}."
            )
        self.scale = scale
        self.temperature = temperature
        self.margin = margin
        self.tau = tau

    def initializer(self, num_classes):
        limit = (num_classes * self.per_class) ** -0.5
        return keras.initializers.RandomUniform(-limit, limit)

    def cost(self, embeddings, positives, negatives):
        costs = super().cost(embeddings, positives, negatives)
        centers = ops.cast(self.proxies.points, costs.dtype)
        return costs + self.tau * center_distances(centers, self.per_class)

    def pair_loss(self, similarities, positives, negatives):
        s = class_similarities(similarities, self.per_class, self.temperature)
        positives, negatives = (x[:, :: self.per_class] for x in (positives, negatives))
        own = self.scale * (of_own(s, positives) - self.margin)
        return softmax_costs(own, self.scale * s, positives, negatives)
