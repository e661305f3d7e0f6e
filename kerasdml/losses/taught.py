"""The base of losses that learn from a teacher."""

import abc

import keras
from keras import ops

from kerasdml.losses.base import MetricLoss
from kerasdml.ops.distances import squared_distances
from kerasdml.step import step


class TaughtLoss(MetricLoss):
    """A loss of embeddings beside those that a teacher gives the same examples.

    It does not look at labels, which may be any.

    Args:
        teacher: Built Keras model from the same inputs to `(q, t)`, of any size t. Of
            it a frozen copy is taken, with the weights it has now, which embeds each
            step's inputs as the student sees them and is saved with the student. Or
            `None`: the data set brings the embeddings `(q, t)` in its field "teacher".
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If `teacher` is no built model with embeddings for output; when
            called, if the teacher's embeddings are not as many as the student's.
    """

    takes_tags = True

    def __init__(self, *, teacher=None, **kwargs):
        super().__init__(**kwargs)
        self._frozen = None if teacher is None else _Frozen(teacher)

    @property
    def teacher(self):
        """The frozen copy of the teacher, or `None`."""
        return None if self._frozen is None else self._frozen.model

    @property
    def fields(self):
        return () if self._frozen else ("teacher",)

    @property
    def layers(self):
        return [self._frozen] if self._frozen else []

    def costs(self, labels, embeddings):
        del labels
        if self._frozen:
            taught = self.teacher(step.field("x"), training=False)
        else:
            taught = ops.convert_to_tensor(step.field("teacher"))
        _check_taught(taught.shape, embeddings.shape)
        taught = ops.stop_gradient(ops.cast(taught, embeddings.dtype))
        return self.taught_costs(embeddings, taught)

    @abc.abstractmethod
    def taught_costs(self, embeddings, taught):
        """Returns the costs, `(q,)`, of `embeddings (q, d)` beside `taught (q, t)`."""


def squares_among(x):
    """Returns squared distances among `x (q, d)`; 0 of what rounding cannot part."""
    # Far from the origin rounding would be that of the lengths. The distances do not
    # depend on the mean, so that it needs no gradient.
    x = x - ops.stop_gradient(ops.mean(x, axis=0))
    return squared_distances(x, x)


class _Frozen(keras.layers.Layer):
    """Holds a copy of a model, and never trains it."""

    def __init__(self, model):
        super().__init__(name="teacher", trainable=False)
        _check_teacher(model)
        self.model = keras.models.clone_model(model)
        self.model.set_weights(model.get_weights())
        self.model.trainable = False

    def build(self, dim):
        """Creates nothing; only a loss that is attached to a model may call it."""
        del dim
        self.built = True


def _check_teacher(teacher):
    built = isinstance(teacher, keras.Model) and teacher.built
    # A subclass of `keras.Model` has no output before it is called.
    shape = getattr(teacher, "output_shape", None) if built else None
    if not isinstance(shape, tuple) or len(shape) != 2:
        raise ValueError(
            "`teacher` must be a built functional or sequential Keras model that gives "
            "embeddings (q, d), or None; the `embedder` of a `MetricModel` is one. "
            f"Received: {teacher!r}"
            + (f" with the output shape {shape}." if shape else ".")
        )


def _check_taught(taught, student):
    if len(taught) != 2:
        raise ValueError(
            "The teacher's embeddings must be of shape (q, d). "
            f"Received: shape {tuple(taught)}."
        )
    if None not in (taught[0], student[0]) and taught[0] != student[0]:
        raise ValueError(
            "The teacher must give one embedding for each of the student's. "
            f"Received: {taught[0]} for {student[0]}."
        )
