import keras
import numpy as np
import pytest

from kerasdml import models


def features():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(7)])


def test_squared_distances_are_the_weighted_sum_of_those_of_the_heads(tmp_path):
    embedder = models.EnsembleEmbedder(features(), heads=3, dim=5, prior=[1, 2, 3])
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    heads = [embedder.get_layer(f"head_{i}").output for i in range(3)]
    raw = keras.Model(embedder.input, heads).predict(x, verbose=0)
    raw = [head / np.linalg.norm(head, axis=1, keepdims=True) for head in raw]
    expected = sum(
        weight * np.sum((head[0] - head[1]) ** 2)
        for weight, head in zip((1 / 6, 2 / 6, 3 / 6), raw, strict=True)
    )
    first, second = embedder.predict(x, verbose=0)
    assert first.shape == (15,)
    np.testing.assert_allclose(np.sum((first - second) ** 2), expected, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(first), 1.0, rtol=1e-5)
    embedder.get_layer("weighted_heads").weighting.roots.assign([0.1, 0.2, 0.3])
    changed = embedder.predict(x, verbose=0)
    embedder.save(tmp_path / "embedder.keras")
    again = keras.models.load_model(tmp_path / "embedder.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), changed)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: models.EnsembleEmbedder(features(), heads=0), "`heads` must be an"),
        (lambda: models.EnsembleEmbedder(features(), 2, dim=0), "`dim` must be an"),
        (
            lambda: models.EnsembleEmbedder(features(), 2, prior=[1, 2, 3]),
            "`prior` must be 2 positive numbers",
        ),
        (
            lambda: models.EnsembleEmbedder(keras.Sequential(), 2),
            "`features` must be a built Keras model",
        ),
        (lambda: models.Compressor(8, hidden=0), "`hidden` must be an integer"),
    ],
)
def test_rejects_arguments_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()
