"""Several centers a class: how similar a class is, how far its centers are apart."""

import functools
import math
import operator

from keras import ops

from kerasdml.ops.similarities import normalize


def class_similarities(similarities, per_class, temperature):
    """Returns the similarities to classes, of those to their centers.

    That to a class is the mean of those to its centers, weighted by a softmax of them:
    between their mean (temperature infinite) and the largest (temperature 0).

    Args:
        similarities: `(q, c * per_class)`, class by class.
        per_class: Centers a class has.
        temperature: Of the softmax, in units of similarity, above 0.

    Returns:
        `(q, c)`.
    """
    if per_class == 1:
        return similarities
    classes = similarities.shape[1] // per_class
    s = ops.reshape(similarities, (-1, classes, per_class))
    # As arrays of their own: sums over an axis as short as theirs take longer.
    centers = ops.unstack(ops.transpose(s, (2, 0, 1)), axis=0)
    peak = ops.stop_gradient(functools.reduce(ops.maximum, centers))
    terms = [ops.exp((x - peak) / temperature) for x in centers]
    return sum(map(operator.mul, terms, centers)) / sum(terms)


def center_distances(centers, per_class):
    """Returns half the mean distance between two centers of a class, a scalar.

    Centers are scaled to length 1; it is 0 if a class has just one. The gradient is
    finite also where centers are equal, which count as 0.003 apart.

    Args:
        centers: `(c * per_class, d)`, class by class.
        per_class: Centers a class has.
    """
    if per_class == 1:
        return ops.zeros((), centers.dtype)
    classes, dim = centers.shape[0] // per_class, centers.shape[1]
    points = normalize(ops.reshape(centers, (classes, per_class, dim)))
    cosines = ops.matmul(points, ops.transpose(points, (0, 2, 1)))
    distances = ops.sqrt(ops.maximum(2.0 - 2.0 * cosines, 0.0) + 1e-5)
    pairs = ops.triu(ops.ones((per_class, per_class), centers.dtype), k=1)
    count = 2 * classes * math.comb(per_class, 2)
    return ops.sum(distances * pairs) / count
