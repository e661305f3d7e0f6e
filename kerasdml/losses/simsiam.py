"""SimSiam: one view predicts the other."""

import keras
from keras import ops

from kerasdml.layers import Predictor
from kerasdml.losses.base import MetricLoss
from kerasdml.ops import normalize, paired_views


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class SimSiam(MetricLoss):
    """Trains without class labels: from one view of an image the other is predicted.

    The batch is read as pairs of views, the first and the second example with the same
    label, wherever they stand: `kerasdml.data.images(..., views=2)` makes such batches.
    With `h` a small network that is trained along and `z'` an embedding taken as a
    constant, for a pair (a, b):

        loss = -(cos(h(a), b') + cos(h(b), a')) / 2

    It lies between -1, perfect prediction, and 1. Embeddings that collapse to one point
    have -1 too, so a loss near -1 is no success: watch the recall, or the spread.
    An example without a partner takes no part; a batch without pairs costs 0.

    Args:
        hidden: Size of the predictor's hidden layer, at least 1; `None` takes a quarter
            of the embedding's size, as the paper does (512 of 2048), but no less than
            8.
        symmetric: Whether the second view predicts the first too, as in the paper. If
            not, the loss is `-cos(h(a), b')`.
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `hidden` is no integer of at least 1.

    Example:

    >>> embedder = kerasdml.models.Embedder("conv4", dim=128, normalize=False)
    >>> projector = [keras.layers.Dense(256), keras.layers.BatchNormalization()]
    >>> model = kerasdml.MetricModel(keras.Sequential([embedder, *projector]))
    >>> model.compile("adam", loss=kerasdml.losses.SimSiam())

    The predictor is the loss's, in `loss.layers`: the model trains and saves it, but
    the embedder is without it. The projector, three layers of 2048 in the paper, is
    thrown away, and `embedder` is what is kept. It must end in batch normalisation, as
    in the paper: without it the embeddings do collapse.

    Source: Chen and He, "Exploring Simple Siamese Representation Learning", CVPR 2021,
    https://arxiv.org/abs/2011.10566. The predictor has layer normalisation where the
    paper's has batch normalisation, so that no example depends on the others.
    """

    def __init__(self, *, hidden=None, symmetric=True, **kwargs):
        super().__init__(**kwargs)
        self.hidden = hidden
        self.symmetric = symmetric
        self.predictor = Predictor(hidden=hidden)

    @property
    def layers(self):
        return [self.predictor]

    def costs(self, labels, embeddings):
        first, second, paired = paired_views(labels, embeddings)
        costs = self._cost(first, second)
        if self.symmetric:
            costs = (costs + self._cost(second, first)) / 2.0
        # The costs of the pairs, as parts of a mean over all examples.
        paired = ops.cast(paired, costs.dtype)
        share = ops.mean(paired)
        return paired * costs / ops.where(share > 0.0, share, 1.0)

    def _cost(self, view, other):
        predicted = normalize(self.predictor(view))
        return -ops.sum(predicted * normalize(ops.stop_gradient(other)), axis=1)
