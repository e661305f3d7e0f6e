import keras
import numpy as np
import pytest

from kerasdml import models, zoo


@pytest.fixture
def embedder():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
            keras.layers.UnitNormalization(),
        ]
    )


@pytest.fixture
def saved(embedder, tmp_path):
    embedder.save(tmp_path / "mine.keras")
    return tmp_path / "mine.keras"


def images():
    return np.random.default_rng(0).uniform(0, 255, (3, 4, 4, 1)).astype("float32")


@pytest.mark.parametrize("packaged", [True, False])
def test_a_name_gives_the_embedder_that_was_published(
    published, embedder, saved, packaged
):
    card = published(saved.read_bytes(), packaged=packaged)
    loaded = zoo.load(card.name, source=None if packaged else published.home)
    np.testing.assert_array_equal(loaded(images()), embedder(images()))


def test_a_path_gives_the_embedder_in_the_file(embedder, saved):
    for path in (saved, str(saved)):
        np.testing.assert_array_equal(zoo.load(path)(images()), embedder(images()))


def test_the_file_of_a_whole_metric_model_gives_its_embedder(embedder, tmp_path):
    model = models.MetricModel(embedder)
    model.save(tmp_path / "model.keras")
    loaded = zoo.load(tmp_path / "model.keras")
    assert not isinstance(loaded, models.MetricModel)
    np.testing.assert_array_equal(loaded(images()), embedder(images()))


def test_a_changed_file_is_refused_before_it_is_loaded(published, saved):
    card = published(saved.read_bytes(), packaged=True)
    (published.package / card.file).write_bytes(saved.read_bytes() + b"?")
    with pytest.raises(ValueError, match="is not the file of the card"):
        zoo.load(card.name)


def test_a_path_without_a_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model file at '.*gone.keras'"):
        zoo.load(tmp_path / "gone.keras")
