"""Common ancestors: the proxies that stand above others in a hierarchy nobody gave."""

from typing import Any, NamedTuple

import keras
from keras import ops


class Triplets(NamedTuple):
    """Nodes i with others that are drawn for them.

    Attributes:
        related: `(n, t)` integers, in row i nodes that are related to i.
        unrelated: `(n, t)` integers, nodes that are not.
        some: `(n,)` whether i has both, without which its rows mean nothing.
    """

    related: Any
    unrelated: Any
    some: Any


def relations(similarities, top_k, exclude_self=True):
    """Returns which nodes are related, and which unrelated, both `(n, n)` booleans.

    Two are related if each is among the `top_k` most similar of the other. The node
    itself is one of these, and most similar whatever the numbers say. A node with fewer
    than two related has none. Unrelated are all others, those that rank high on one
    side alone included.

    Args:
        similarities: `(n, n)`, larger is closer.
        top_k: How many rank high, at least 1.
        exclude_self: Whether a node is not unrelated to itself.
    """
    rows = ops.arange(ops.shape(similarities)[0])
    itself = rows[:, None] == rows
    ranked = ops.where(itself, float("inf"), similarities)
    lowest = ops.sort(-ranked, axis=1)[:, :top_k][:, -1:]
    high = -ranked <= lowest
    mutual = ops.logical_and(high, ops.transpose(high))
    related = ops.logical_and(mutual, ops.logical_not(itself))
    several = ops.sum(ops.cast(related, "int32"), axis=1, keepdims=True) > 1
    unrelated = ops.logical_not(mutual if exclude_self else related)
    return ops.logical_and(related, several), unrelated


def draw_triplets(related, unrelated, count, key):
    """Draws for each node `count` related and as many unrelated, with repetition.

    Args:
        related: `(n, n)` booleans.
        unrelated: `(n, n)` booleans, of none that is related.
        count: How many, at least 1.
        key: `(2,)`, as of `uniform`.
    """
    # The related first, then the unrelated: one order serves both.
    kinds = ops.where(related, 0.0, ops.where(unrelated, 1.0, 2.0))
    order = ops.cast(ops.argsort(kinds, axis=1), "int32")
    sizes = [
        ops.sum(ops.cast(x, "int32"), axis=1, keepdims=True)
        for x in (related, unrelated)
    ]
    places = uniform((2, ops.shape(order)[0], count), key)

    def members(start, size, place):
        place = ops.cast(place * ops.cast(size, place.dtype), "int32")
        # Rounding may lead to the place after the last.
        place = ops.maximum(ops.minimum(place, size - 1), 0)
        return ops.take_along_axis(order, start + place, axis=1)

    some = ops.logical_and(sizes[0] > 0, sizes[1] > 0)[:, 0]
    starts = ops.where(some[:, None], sizes[0], 0)
    return Triplets(
        members(ops.zeros_like(starts), sizes[0], places[0]),
        members(starts, sizes[1], places[1]),
        some,
    )


def ancestor_cost(distances, triplets, noise, temperature, margin, exclude=False):
    """Returns what it costs that common ancestors are not where they should be.

    Of a triplet of two related nodes i and j and an unrelated k, the proxy `g` is drawn
    as the ancestor of the two and `h` as that of the three, with probabilities

        softmax(-max(d_i, d_j) / temperature)
        softmax(-max(d_i, d_j, d_k) / temperature)

    over the proxies, `d_i` being the distances of i. The cost is

        [d_i(g) - d_i(h) + margin]+ + [d_j(g) - d_j(h) + margin]+
        + [d_k(h) - d_k(g) + margin]+

    or 0 where g and h are one. The gradient takes the drawn proxies for the relaxed
    ones, the straight-through Gumbel softmax. It is worked out on the way: what is in
    memory is a few arrays of the size of `distances`, however many triplets a node has.

    Args:
        distances: `(n, m)` of nodes from proxies.
        triplets: `Triplets` of the nodes.
        noise: Function of the number of a draw, 0 … t - 1, that returns `(2, n, m)` of
            exponential noise, for either ancestor; of ones for the most probable.
        temperature: > 0.
        margin: At least 0.
        exclude: Whether h is drawn among the proxies other than g.

    Returns:
        The mean over all triplets, a scalar; 0 if there are none.
    """
    d = ops.stop_gradient(distances)
    some = ops.cast(triplets.some, d.dtype)[:, None]
    count = triplets.related.shape[1]

    def add(t, sums):
        total, slopes = sums
        j, k = (ops.take(x, t, axis=1) for x in triplets[:2])
        of_triplets = d, ops.take(d, j, axis=0), ops.take(d, k, axis=0)
        chosen = _ancestors(of_triplets, noise(t), temperature, exclude)
        costs, found = _costs_and_slopes(of_triplets, *chosen, temperature, margin)
        of_i, of_j, of_k = (some * x for x in found)
        for nodes, part in ((j, of_j), (k, of_k)):
            of_i += ops.segment_sum(part, nodes, num_segments=ops.shape(d)[0])
        return total + ops.sum(some * costs), slopes + of_i

    zero = ops.zeros((), d.dtype), ops.zeros_like(d)
    total, slopes = map(ops.stop_gradient, ops.fori_loop(0, count, add, zero))
    # The second term is 0, and has the gradient.
    total = total + ops.sum(slopes * (distances - d))
    return total / (count * ops.maximum(ops.sum(some), 1.0))


def _ancestors(distances, noise, temperature, exclude):
    """Returns the ancestors of two and of three, as `_drawn` gives them."""
    of_i, of_j, of_k = distances
    first, second = ops.unstack(noise, 2)
    pair = ops.maximum(of_i, of_j)
    two = _drawn(-pair / temperature, first)
    triple = ops.maximum(pair, of_k)
    if exclude:
        triple = ops.where(two[0], float("inf"), triple)
    return two, _drawn(-triple / temperature, second)


def _costs_and_slopes(distances, two, three, temperature, margin):
    """Returns `(n, 1)` what triplets cost, and the slopes by the three's distances."""
    of_i, of_j, of_k = distances
    step = ops.cast(two[0], of_i.dtype) - ops.cast(three[0], of_i.dtype)
    apart = ops.cast(ops.any(two[0] != three[0], axis=1, keepdims=True), of_i.dtype)
    terms = [
        apart * ops.relu(sign * ops.sum(step * x, axis=1, keepdims=True) + margin)
        for sign, x in ((1.0, of_i), (1.0, of_j), (-1.0, of_k))
    ]
    # What a term pays for a unit of its distance, where it pays at all.
    i, j, k = (ops.sign(x) for x in terms)
    k = -k
    # What it pays for a unit of the choice of two; of the choice of three, minus that.
    value = i * of_i + j * of_j + k * of_k
    to_pair = -_through_softmax(two[1], value) / temperature
    to_triple = _through_softmax(three[1], value) / temperature
    pair = ops.maximum(of_i, of_j)
    to_k = ops.where(of_k > pair, to_triple, 0.0)
    to_pair = to_pair + to_triple - to_k
    to_j = ops.where(of_j > of_i, to_pair, 0.0)
    slopes = i * step + to_pair - to_j, j * step + to_j, k * step + to_k
    return sum(terms), slopes


def uniform(shape, key):
    """Returns uniform random numbers, above 0 and below 1, that follow from a key.

    Args:
        shape: Theirs.
        key: `(2,)` numbers, the state of a `keras.random.SeedGenerator` or others like
            it.
    """
    # Made of whole numbers, which TensorFlow draws alike with XLA and without.
    steps = 2**23
    drawn = keras.random.randint(shape, 0, steps, seed=_Key(key))
    return (ops.cast(drawn, "float32") + 0.5) / steps


def keys(count, key):
    """Returns `(count, 2)` keys that follow from one."""
    drawn = keras.random.randint((count, 2), 0, 2**31 - 1, seed=_Key(key))
    return ops.cast(drawn, key.dtype)


class _Key(keras.random.SeedGenerator):
    """A generator that does not count, since within a loop it must not."""

    def __init__(self, key):
        self.key = key

    def next(self, ordered=True):
        del ordered
        return self.key


def _drawn(logits, noise):
    """Returns `(n, m)` booleans, one a row true, and the probabilities they relax to.

    The largest of exp(logit) over exponential noise is that of logit plus Gumbel noise.
    """
    peak = ops.max(logits, axis=1, keepdims=True)
    x = ops.exp(logits - peak) / noise
    columns = ops.arange(ops.shape(x)[1], dtype="int32")
    largest = ops.cast(ops.argmax(x, axis=1), "int32")[:, None]
    return columns == largest, x / ops.sum(x, axis=1, keepdims=True)


def _through_softmax(probabilities, slopes):
    """Returns the gradient of logits whose softmax has the gradient `slopes`."""
    mean = ops.sum(probabilities * slopes, axis=1, keepdims=True)
    return probabilities * (slopes - mean)
