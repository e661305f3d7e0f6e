"""What every embedder that comes with the package must keep."""

import numpy as np
import pytest

from kerasdml import zoo
from kerasdml.zoo import cards

PACKAGED = [
    name for name in zoo.names() if (cards.WEIGHTS / zoo.card(name).file).exists()
]

each_packaged = pytest.mark.parametrize("name", PACKAGED)
each_published = pytest.mark.parametrize("name", zoo.names())


@each_published
def test_it_is_in_the_package_or_has_an_address(name):
    assert name in PACKAGED or zoo.card(name).url


@each_packaged
def test_its_file_is_that_of_its_card_and_small(name):
    card = zoo.card(name)
    measured = cards.fingerprint(cards.WEIGHTS / card.file)
    assert measured == {"sha256": card.sha256, "bytes": card.bytes}
    assert card.bytes < 2_000_000, "larger weights are downloaded, not packaged"


@each_packaged
def test_it_embeds_as_its_card_says(name):
    card = zoo.card(name)
    embedder = zoo.load(name)
    shape = (*card.input.size, card.input.channels)
    assert embedder.input_shape[1:] == shape
    images = np.random.default_rng(0).uniform(0, 255, (3, *shape)).astype("float32")
    embeddings = np.asarray(embedder(images, training=False))
    assert embeddings.shape == (3, card.dim)
    assert np.ptp(embeddings, axis=0).any(), "other images, other embeddings"
    if card.similarity == "cosine":
        lengths = np.linalg.norm(embeddings, axis=1)
        np.testing.assert_allclose(lengths, 1, atol=1e-5)
