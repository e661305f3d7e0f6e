"""Fixtures for both backends."""

import keras
import numpy as np
import pytest


def value_and_gradient(function, x):
    """Returns `function(x)` and its gradient as NumPy, on either backend."""
    if keras.backend.backend() == "jax":
        import jax

        value, gradient = jax.value_and_grad(function)(jax.numpy.asarray(x))
    else:
        import tensorflow as tf

        x = tf.convert_to_tensor(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        gradient = tape.gradient(value, x)
    return np.asarray(value), np.asarray(gradient)


def compiled(function):
    """Returns `function` compiled by XLA, on either backend."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=True)


def compiled_value_and_gradient(function, x):
    """As `value_and_gradient`, compiled by XLA as one, as a training step is."""
    if keras.backend.backend() == "jax":
        import jax

        return tuple(map(np.asarray, jax.jit(jax.value_and_grad(function))(x)))
    import tensorflow as tf

    @tf.function(jit_compile=True)
    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        return value, tape.gradient(value, x)

    return tuple(map(np.asarray, both(tf.convert_to_tensor(x))))


@pytest.fixture
def pairs():
    """Similarities from -1 to 1 and masks: 4 classes of 3, and 1 alone in its own."""
    labels = np.append(np.repeat(np.arange(4), 3), 9)
    angles = np.linspace(0.0, np.pi, labels.size)[
        [0, 6, 12, 1, 7, 11, 2, 8, 10, 3, 5, 9, 4]
    ]
    same = labels[:, None] == labels
    cosines = np.cos(angles[:, None] - angles).astype("float32")
    return cosines, same & ~np.eye(13, dtype=bool), ~same


@pytest.fixture
def pair_gradient():
    """`d loss / d s` per pair; its size is the weight of General Pair Weighting."""

    def gradient(loss, similarities, positives, negatives):
        def total(s):
            return keras.ops.sum(loss.pair_loss(s, positives, negatives))

        return value_and_gradient(total, np.asarray(similarities, "float32"))[1]

    return gradient


@pytest.fixture
def at_angles():
    """Unit vectors in the plane by their angles in degrees."""

    def vectors(*degrees):
        radians = np.radians(degrees)
        return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype("float32")

    return vectors
