"""Keeping distances in fewer dimensions."""

import keras
from keras import ops

from kerasdml.losses.taught import TaughtLoss, squares_among
from kerasdml.ops import safe_sqrt


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class DistancePreserving(TaughtLoss):
    """Makes squared distances proportional to those of other, larger embeddings.

    With S the q^2 squared distances within the batch, in units of their mean, and S'
    those of the other embeddings,

        loss = sqrt(sum over ij of (S_ij - S'_ij)^2)

    which is 0 if one is the other moved, turned and scaled. It grows with the size of
    the batch. Labels are not looked at and may be any. A batch that is one point counts
    as one of no distances.

    It is what a compressor is trained by, `models.Compressor`, from the embeddings of
    an ensemble (WEDL-C) or of any other embedder.

    Args:
        teacher: What gives the other embeddings: a built Keras model from the same
            inputs to `(q, t)`, of which a frozen copy is taken; or `None`: the data set
            has the field "teacher", `(q, t)`.
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `teacher` is no built model of embeddings; when called with
            `sample_weight`, since the loss is of the batch.

    Example:

    >>> embeddings = embedder.predict(images)
    >>> compressor = kerasdml.models.Compressor(embeddings.shape[1], dim=128)
    >>> model = kerasdml.MetricModel(compressor)
    >>> model.compile("adam", loss=kerasdml.losses.DistancePreserving())
    >>> fields = {"label": labels, "teacher": embeddings}
    >>> model.fit(embeddings, fields, batch_size=64, epochs=20)
    >>> compressed = keras.Sequential([embedder, compressor])

    Source: WEDL-C, of the released code for the paper of `losses.Ensemble`.
    """

    per_anchor = False

    def taught_costs(self, embeddings, taught):
        gaps = _in_units_of_mean(embeddings) - _in_units_of_mean(taught)
        return safe_sqrt(ops.sum(gaps**2), scale=0.0) + 0.0 * embeddings[:, 0]


def _in_units_of_mean(x):
    squares = squares_among(x)
    mean = ops.mean(squares)
    return squares / ops.where(mean > 0.0, mean, 1.0)
