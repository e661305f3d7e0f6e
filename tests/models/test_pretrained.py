"""On real data, where it is at hand."""

import os
import pathlib

import numpy as np
import pytest

from kerasdml import data, metrics, models

DATA = pathlib.Path(os.environ.get("KERASDML_DATA", "nowhere"))
WEIGHTS = DATA / "weights/mobilenet_v2_1.0_224_imagenet.npz"


@pytest.mark.skipif(
    not WEIGHTS.exists(), reason="KERASDML_DATA has no ImageNet weights"
)
def test_imagenet_weights_retrieve_unseen_groceries():
    # Frozen features at 128 pixels, the test part: what the data's notes say.
    pack = data.load_pack(DATA / "grocery_store.npz")
    test = pack.subset(np.flatnonzero(pack.split == 1))
    embedder = models.Embedder(
        "mobilenet_v2", dim=8, input_shape=(128, 128, 3), weights=WEIGHTS
    )
    features = type(embedder)(embedder.input, embedder.layers[-3].output)
    images = data.images(test, size=128, batch_size=64)
    x, labels = models.embed(features, images)
    found = metrics.retrieval(x, labels)
    np.testing.assert_allclose(found["recall_at_1"], 0.842, atol=0.01)
    np.testing.assert_allclose(found["map_at_r"], 0.197, atol=0.01)
