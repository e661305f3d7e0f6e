"""General Pair Weighting: what a loss does to each pair."""

import keras
from keras import ops


def pair_weights(pair_loss, similarities, positives, negatives):
    """Returns the derivative of the sum of a loss's costs by each similarity.

    An embedder sees a loss of pairs through these numbers alone: a pair of -w is pulled
    together with weight w, one of +w is pushed apart with weight w, and one of 0 is
    left alone. So they say what a loss does, and how two losses differ, whatever their
    formulas look like. (Wang et al., "Multi-Similarity Loss with General Pair Weighting
    for Deep Metric Learning", CVPR 2019.)

    Args:
        pair_loss: Function of the three arrays that returns `(q,)` costs, such as the
            method of that name of a loss.
        similarities: `(q, r)` floats.
        positives: `(q, r)` booleans.
        negatives: `(q, r)` booleans.

    Returns:
        `(q, r)` derivatives, through which no further gradient flows.

    Raises:
        NotImplementedError: If the backend is neither TensorFlow nor JAX.

    Example:

    >>> loss = kerasdml.losses.Contrastive(margin=0.5)
    >>> similarities, positives = np.array([[0.9, 0.4]]), np.array([[True, False]])
    >>> kerasdml.ops.pair_weights(loss.pair_loss, similarities, positives, ~positives)
    """

    def total(s):
        return ops.sum(pair_loss(s, positives, negatives))

    # A copy, so that a tape outside, which watches the original, plays no part.
    similarities = ops.stop_gradient(ops.convert_to_tensor(similarities))
    return ops.stop_gradient(_derivative(total, similarities))


def _derivative(function, x):
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        return tape.gradient(value, x, unconnected_gradients="zero")
    if keras.backend.backend() == "jax":
        import jax

        return jax.grad(function)(x)
    raise NotImplementedError(
        "`pair_weights` needs the TensorFlow or the JAX backend of Keras. "
        f"Received: {keras.backend.backend()}."
    )
