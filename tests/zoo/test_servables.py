"""Package, recipe, results, servable and card of each published embedder agree."""

import csv
import os
import pathlib

import keras
import numpy as np
import pytest

from kerasdml import data, metrics, models, zoo

ROOT = pathlib.Path(__file__).parents[2]
DATA = pathlib.Path(os.environ.get("KERASDML_DATA", "nowhere"))
FIGURES = ("recall_at_1", "recall_at_10", "r_precision", "map_at_r")
each_published = pytest.mark.parametrize("name", zoo.names())
on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="a SavedModel runs on TensorFlow"
)


@on_tensorflow
@each_published
def test_the_servable_embeds_as_the_weights_do(name):
    import tensorflow as tf

    card = zoo.card(name)
    served = tf.saved_model.load(str(ROOT / "saved_models" / name / "1"))
    shape = (3, *card.input.size, card.input.channels)
    images = np.random.default_rng(0).integers(0, 256, shape).astype("uint8")
    np.testing.assert_allclose(
        served.embed(images), zoo.load(name).predict(images, verbose=0), atol=1e-5
    )


@each_published
def test_the_card_says_what_a_run_of_its_recipe_found(name):
    card = zoo.card(name)
    assert (ROOT / card.recipe).is_file()
    with (ROOT / "zoo/results.csv").open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["name"] == name]
    found = [{key: float(row[key]) for key in FIGURES} for row in rows]
    assert {key: card.metrics[key] for key in FIGURES} in found


@pytest.mark.skipif(not DATA.exists(), reason="KERASDML_DATA names no folder of data")
def test_the_omniglot_embedder_reaches_its_card_on_unseen_characters():
    card = zoo.card("conv4.multi_similarity_omniglot")
    pack = data.load_pack(DATA / "omniglot.npz")
    unseen = pack.subset(np.flatnonzero(pack.split == 1))
    images = data.images(unseen, size=card.input.size, batch_size=256)
    found = metrics.retrieval(*models.embed(zoo.load(card.name), images))
    for figure in FIGURES:
        np.testing.assert_allclose(found[figure], card.metrics[figure], atol=2e-3)
