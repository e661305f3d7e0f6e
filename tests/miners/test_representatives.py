import keras
import numpy as np
import pytest

from kerasdml import losses, miners
from kerasdml.references import References

# 3 classes: their representatives, and 3 others of each.
LABELS = np.concatenate([[4, 2, 7], np.repeat([4, 2, 7], 3)])


def mine(miner, labels, references=None):
    labels = np.asarray(labels, "int32")
    batch = References(np.zeros((len(labels), 2)), labels, np.arange(len(labels)))
    references = batch if references is None else references
    same = labels[:, None] == references.labels
    itself = batch.copy_of[:, None] == references.copy_of
    similarities = np.zeros(same.shape, "float32")
    found = miner(similarities, same & ~itself, ~same, batch, references)
    return [np.array(x) for x in found]


def test_pairs_are_of_a_representative_with_what_is_none():
    positives, negatives = mine(miners.Representatives(), LABELS)
    for kept in (positives, negatives):
        assert not kept[3:].any() and not kept[:, :3].any()
    np.testing.assert_array_equal(positives[:3, 3:], LABELS[:3, None] == LABELS[3:])
    assert (positives.sum(axis=1)[:3] == 3).all()
    assert (negatives.sum(axis=1)[:3] == 6).all()


def test_the_first_of_each_class_represents_it_wherever_it_stands():
    positives, _ = mine(miners.Representatives(), [5, 5, 1, 5, 1, 3])
    np.testing.assert_array_equal(np.argwhere(positives), [[0, 1], [0, 3], [2, 4]])


def test_every_further_reference_is_kept():
    memory = References(np.zeros((3, 2)), np.array([4, 2, 9]), np.full(3, -1))
    positives, negatives = mine(miners.Representatives(), LABELS, memory)
    np.testing.assert_array_equal(np.argwhere(positives), [[0, 0], [1, 1]])
    assert negatives.sum() == 7 and not negatives[3:].any()


def test_hand_value_of_the_specification():
    # Distances of (0, 0) and (1, 0) from (0, 0.3) and (0.8, 0): 0.3, 0.8, 1.04 and 0.2.
    # Positives cost 0.3 and 0.2, negatives are farther than 0.5.
    embeddings = np.array([(0, 0), (1, 0), (0, 0.3), (0.8, 0)], "float32")
    loss = losses.Contrastive(
        similarity="euclidean",
        margin=-0.5,
        positive_margin=0.0,
        miner=miners.Representatives(),
        average="active",
    )
    labels = keras.ops.convert_to_tensor([0, 1, 0, 1])
    np.testing.assert_allclose(loss(labels, embeddings), 0.25, rtol=1e-5)


@pytest.mark.parametrize("name", ["MultiSimilarity", "MultiLabel"])
def test_a_further_miner_narrows_what_is_kept(name):
    further = getattr(miners, name)()
    whole = mine(miners.Representatives(), LABELS)
    narrowed = mine(miners.Representatives(miner=further), LABELS)
    for some, all_of_them in zip(narrowed, whole, strict=True):
        assert not (some & ~all_of_them).any()


def test_the_layers_of_a_further_miner_are_its_own():
    further = miners.DistanceWeighted()
    assert miners.Representatives(miner=further).layers == further.layers
