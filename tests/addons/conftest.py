"""TensorFlow Addons, which knows Keras 2 alone, in one process with Keras 3."""

import functools
import os
import sys
import types

import pytest
from keras import ops

from tests.conftest import value_and_gradient


def load_addons():
    """Imports TensorFlow Addons.

    It builds on `tf.keras`, which is the Keras 2 of `tf_keras` where an environment
    variable says so, and imports a module of it by its name in Keras 2. That name is
    lent to it while it imports; `keras` itself stays Keras 3.
    """
    if os.environ.get("TF_USE_LEGACY_KERAS") != "1":
        raise RuntimeError(
            "TensorFlow Addons needs TF_USE_LEGACY_KERAS=1 before TensorFlow is "
            "imported. `make test-addons` sets it."
        )
    from tf_keras.src.engine import keras_tensor

    engine = types.ModuleType("keras.src.engine")
    engine.keras_tensor = keras_tensor
    lent = {engine.__name__: engine, f"{engine.__name__}.keras_tensor": keras_tensor}
    sys.modules.update(lent)
    try:
        import tensorflow_addons
    finally:
        for name in lent:
            del sys.modules[name]
    return tensorflow_addons


def addons_value_and_gradient(addons, case, labels, embeddings):
    """Returns what Addons' loss of `case` gives, and the gradient `(q, d)` of it."""
    loss = getattr(addons.losses, case.name)(**case.arguments)
    apply = _APPLY.get(case.name, lambda loss, labels, e: loss(labels, e))

    def value(e):
        return apply(loss, labels, ops.normalize(e, axis=1) if case.normalized else e)

    return value_and_gradient(value, embeddings)


def _npairs(loss, labels, embeddings):
    import tensorflow as tf

    similarities = tf.matmul(embeddings[::2], embeddings[1::2], transpose_b=True)
    return loss(labels[::2], similarities)


def _contrastive(loss, labels, embeddings):
    import tensorflow as tf

    same = (labels[::2] == labels[1::2]).astype("float32")
    return loss(same, tf.norm(embeddings[::2] - embeddings[1::2], axis=1))


# Losses that take no embeddings, but similarities or distances ready made.
_APPLY = {"NpairsLoss": _npairs, "ContrastiveLoss": _contrastive}


@pytest.fixture(scope="session")
def addons():
    return load_addons()


@pytest.fixture
def addons_gives(addons):
    """`addons_value_and_gradient` of the Addons that is installed."""
    return functools.partial(addons_value_and_gradient, addons)
