"""Soft nearest neighbour loss."""

import keras

from kerasdml.losses.nca import NCA


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class SoftNearestNeighbor(NCA):
    """Disentangles classes, by the softmax of squared distances.

    It is `NCA` on embeddings that are not normalised: for an anchor with positives P
    and negatives N at distances `d`,

        loss = -log(sum_P exp(-d^2 / t) / sum_{P and N} exp(-d^2 / t))

    Pair weight: as of `NCA`. An anchor without positives or without negatives costs 0.

    Args:
        temperature: t, in units of squared distance, > 0. The default, 1, is TensorFlow
            Similarity's; the authors train it with the network.
        similarity: "squared_euclidean" (the default), minus `d^2`.
        **kwargs: `references`, `miner`, `average`, and Keras' `name`, `reduction`,
            `dtype`.

    Raises:
        ValueError: If `temperature` is not positive.

    Example:

    >>> embedder = kerasdml.models.Embedder("conv4", dim=64, normalize=False)
    >>> model = kerasdml.MetricModel(embedder, similarity="squared_euclidean")
    >>> model.compile("adam", loss=kerasdml.losses.SoftNearestNeighbor())

    Source: Frosst et al., "Analyzing and Improving Representations with the Soft
    Nearest Neighbor Loss", ICML 2019, https://arxiv.org/abs/1902.01889. There it is
    mostly subtracted, to entangle the classes in hidden layers: `other + -0.1 * this`.
    TensorFlow Similarity adds 1e-9 to the probability, which bounds its cost by 20.7.
    """

    def __init__(self, *, temperature=1.0, similarity="squared_euclidean", **kwargs):
        super().__init__(temperature=temperature, similarity=similarity, **kwargs)
