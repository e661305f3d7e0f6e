"""Relational knowledge distillation."""

from typing import Any, NamedTuple

import keras
from keras import ops

from kerasdml.losses.taught import TaughtLoss, squares_among
from kerasdml.ops import by_row_blocks, safe_sqrt

# How many angles are compared at a time: 8 MB an array, all those of 128 examples.
_ANGLES = 2**21


@keras.saving.register_keras_serializable(package="kerasdml.losses")
class RelationalDistillation(TaughtLoss):
    """Teaches an embedder the distances and angles among a teacher's embeddings.

    With h(e) = e^2 / 2 up to |e| = 1 and |e| - 1/2 beyond, of q examples:

        loss = distance_weight / q^2 * sum over ij of h(D_ij - D'_ij)
             + angle_weight / q^3 * sum over ijk of h(A_ijk - A'_ijk)

    D are the distances among the student's embeddings in units of their mean, A_ijk is
    the cosine of the angle at i between j and k, and D' and A' are the teacher's. Each
    is the same if the embeddings are moved, turned or scaled as one, so the student may
    be smaller than the teacher, and need not be normalised: the paper's students are
    not (`models.Embedder(normalize=False)`), though its teachers are.

    The teacher may also be an equal of the student, or an earlier one of it
    (self-distillation). One that is given sees what the student sees, augmented
    likewise, as in the paper; embeddings in the data set's field "teacher" are made
    once, which is faster, and know nothing of augmentation. Labels are not looked at
    and may be any.

    The angles are q^3 numbers, by the lengths of the sides of triangles, so that their
    time is that of q^3 numbers whatever the sizes of the embeddings. They are gone
    through a few vertices at a time, and again on the way back: in memory there are
    some 60 MB up to 512 examples, and beyond, some 25 q^2 numbers. Four times the
    examples still take 64 times as long (`python benchmarks/methods.py`): the paper has
    128. `angle_weight=0` leaves distances alone, q^2 numbers, in no more time than
    another loss of pairs.

    Two examples that are one point for student or teacher have no direction from one to
    the other: angles with such a side count as equal, without a gradient. One example
    alone costs 0, and so do the distances of two.

    Args:
        distance_weight: Weight of distances, at least 0. Authors' code: 1.
        angle_weight: Weight of angles, at least 0. Authors' code: 2.
        divide_by: What the sums are divided by: "all", q^2 and q^3, as in the authors'
            code; "distinct", the q (q - 1) pairs and q (q - 1) (q - 2) triplets of
            different examples, as in the paper.
        teacher: Built Keras model from the same inputs to `(q, t)`, of any size t. Of
            it a frozen copy is taken, with the weights it has now, which is saved with
            the student. `None`: the data set has the field "teacher", `(q, t)`.
        **kwargs: Keras' `name`, `reduction`, `dtype`.

    Raises:
        ValueError: If a weight is negative or both are 0, if `divide_by` is none of the
            above, or if `teacher` is no built model of embeddings.

    Example:

    >>> model = kerasdml.MetricModel(student)
    >>> distilled = kerasdml.losses.RelationalDistillation(teacher=teacher)
    >>> model.compile("adam", loss=distilled)
    >>> model.fit(train, epochs=20)

    or, with the teacher's embeddings computed before,

    >>> fields = {"teacher": teacher.predict(images)}
    >>> train = kerasdml.data.images(
    ...     images, labels, size=64, batches=batches, fields=fields
    ... )
    >>> model.compile("adam", loss=kerasdml.losses.RelationalDistillation())

    Source: Park et al., "Relational Knowledge Distillation", CVPR 2019,
    https://arxiv.org/abs/1904.05068. In the authors' code an angle whose side has no
    length in one of the two networks counts as a right one there, with a gradient of
    up to 1e12; here it counts in neither.
    """

    def __init__(
        self,
        *,
        distance_weight=1.0,
        angle_weight=2.0,
        divide_by="all",
        teacher=None,
        **kwargs,
    ):
        super().__init__(teacher=teacher, **kwargs)
        weights = distance_weight, angle_weight
        if min(weights) < 0 or max(weights) == 0:
            raise ValueError(
                "`distance_weight` and `angle_weight` must not be negative, nor both "
                f"0. Received: distance_weight={distance_weight}, "
                f"angle_weight={angle_weight}."
            )
        if divide_by not in ("all", "distinct"):
            raise ValueError(
                "`divide_by` must be 'all' or 'distinct'. "
                f"Received: divide_by={divide_by!r}."
            )
        self.distance_weight = distance_weight
        self.angle_weight = angle_weight
        self.divide_by = divide_by

    def taught_costs(self, embeddings, taught):
        squares, taught = squares_among(embeddings), squares_among(taught)
        count = ops.cast(ops.shape(squares)[0], squares.dtype)
        others = ops.maximum(count - 1.0, 1.0), ops.maximum(count - 2.0, 1.0)
        if self.divide_by == "all":
            others = count, count
        costs = ops.zeros_like(squares[:, 0])
        if self.distance_weight:
            weight = self.distance_weight / others[0]
            costs += weight * _distance_costs(squares, taught)
        if self.angle_weight:
            weight = self.angle_weight / (others[0] * others[1])
            costs += weight * _angle_costs(squares, taught)
        return costs


def _distance_costs(squares, taught):
    gaps = _in_units_of_mean(squares) - _in_units_of_mean(taught)
    return ops.sum(_huber(gaps), axis=1)


def _in_units_of_mean(squares):
    distances = safe_sqrt(squares, scale=0.0)
    count = ops.cast(ops.shape(squares)[0], squares.dtype)
    mean = ops.sum(distances) / ops.maximum(count * (count - 1.0), 1.0)
    return distances / ops.where(mean > 0.0, mean, 1.0)


class _Sides(NamedTuple):
    """Squared distances of some vertices, or all, from all, `(b, q)`; the teacher's."""

    squares: Any
    taught: Any


class _Arms(NamedTuple):
    """`_Sides`, and beside each 1 / sqrt(2 squares), or 0 of an arm that counts not."""

    squares: Any
    scales: Any
    taught: Any
    taught_scales: Any


def _angle_costs(squares, taught):
    counts = ops.logical_and(squares > 0.0, taught > 0.0)
    arms = _Arms(squares, _scales(squares, counts), taught, _scales(taught, counts))
    sides, count = _Sides(squares, taught), ops.shape(squares)[0]
    if isinstance(count, int) and count**3 <= _ANGLES:
        return _costs_of_vertices(arms, sides)[0]
    at_a_time = _ANGLES // (count * count) + 1
    blocks = (count + at_a_time - 1) // at_a_time
    return by_row_blocks(_costs_of_vertices, arms, sides, blocks)[0]


def _scales(squares, counts):
    return ops.where(counts, ops.rsqrt(2.0 * ops.where(counts, squares, 1.0)), 0.0)


def _costs_of_vertices(arms, sides):
    cosines = _cosines(arms.squares, arms.scales, sides.squares)
    taught = _cosines(arms.taught, arms.taught_scales, sides.taught)
    return (ops.sum(_huber(cosines - ops.stop_gradient(taught)), axis=(1, 2)),)


def _cosines(squares, scales, sides):
    """Returns cosines at b vertices, `(b, q, q)`, of the sides of triangles."""
    squares = squares[:, :, None] + squares[:, None, :] - sides
    return squares * scales[:, :, None] * scales[:, None, :]


def _huber(gaps):
    slopes = ops.clip(gaps, -1.0, 1.0)
    return slopes * (gaps - 0.5 * slopes)
