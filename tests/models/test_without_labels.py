"""Training on images alone, as the documentation shows it."""

import keras
import numpy as np
import pytest

from kerasdml import MetricModel, data, losses


@pytest.mark.parametrize(
    "loss",
    [losses.VICReg(), losses.BarlowTwins(), losses.SimSiam(), losses.NTXent()],
    ids=lambda loss: type(loss).__name__,
)
def test_learns_from_two_views_of_each_image(loss):
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (64, 8, 8), dtype=np.uint8)
    order = data.balanced_batches(range(64), classes=32, per_class=1)
    train = data.images(images, size=8, augment=True, batches=order, views=2)
    layers = keras.layers
    embedder = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Rescaling(1 / 255, -0.5),
            layers.Flatten(),
            layers.Dense(16),
        ]
    )
    model = MetricModel(embedder)
    model.compile(keras.optimizers.Adam(0.01), loss=loss)
    costs = model.fit(train, epochs=8, verbose=0).history["loss"]
    assert train.steps_per_epoch == 2
    assert costs[-1] < costs[0]
