import keras
import numpy as np
import pytest


@pytest.fixture
def images():
    """`(images, labels)`: 4 classes of 6 noisy patterns, `(24, 8, 6, 3)` in 0 … 255."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 6)
    patterns = rng.uniform(0, 255, size=(4, 8, 6, 3))
    noisy = patterns[labels] + rng.normal(scale=90, size=(24, 8, 6, 3))
    return np.clip(noisy, 0, 255).astype("float32"), labels


@pytest.fixture
def plain_model():
    """An ordinary Keras model from images to embeddings, compiled with any loss."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 6, 3)),
            keras.layers.Rescaling(1 / 255, offset=-0.5),
            keras.layers.Flatten(),
            keras.layers.Dense(4),
        ]
    )
    model.compile("sgd", loss=length)
    return model


def length(labels, embeddings):
    return keras.ops.sum(embeddings**2, axis=1)
