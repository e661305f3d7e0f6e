import keras
import numpy as np
import pytest

from kerasdml.miners import BatchHard


def definition(similarities, positives, negatives):
    """The farthest positive and the closest negative of each anchor, first of ties."""
    keep = np.zeros((2, *similarities.shape), bool)
    for i, s in enumerate(similarities):
        pos, neg = np.flatnonzero(positives[i]), np.flatnonzero(negatives[i])
        if pos.size:
            keep[0, i, min(pos, key=lambda k, s=s: s[k])] = True
        if neg.size:
            keep[1, i, max(neg, key=lambda k, s=s: s[k])] = True
    return keep


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_definition(seed):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, size=12)
    same = labels[:, None] == labels
    # Multiples of 1/4, so that the hardest is often one of several.
    s = (generator.integers(-4, 5, size=(12, 12)) / 4).astype("float32")
    masks = same & ~np.eye(12, dtype=bool), ~same
    np.testing.assert_array_equal(BatchHard()(s, *masks), definition(s, *masks))


def test_agrees_with_the_definition_on_a_half_circle(pairs):
    np.testing.assert_array_equal(BatchHard()(*pairs), definition(*pairs))


def test_choice_worked_by_hand():
    s = np.array([[0.5, 0.9, 0.45, 0.3, 0.7, -1.0, 1.0]], "float32")
    positives = np.array([[1, 1, 0, 0, 0, 0, 0]], bool)
    negatives = np.array([[0, 0, 1, 1, 1, 0, 0]], bool)
    kept = BatchHard()(s, positives, negatives)
    np.testing.assert_array_equal(kept[0], [[1, 0, 0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(kept[1], [[0, 0, 0, 0, 1, 0, 0]])


def test_keeps_the_pair_of_one_kind_if_there_is_no_other():
    s = np.array([[-0.5, -0.9]], "float32")
    everything, nothing = np.ones((1, 2), bool), np.zeros((1, 2), bool)
    positives, negatives = BatchHard()(s, nothing, everything)
    np.testing.assert_array_equal(positives, nothing)
    np.testing.assert_array_equal(negatives, [[True, False]])


def test_similarities_may_be_larger_than_float32_resolves_1_at():
    s = np.array([[0.0, -1e9]], "float32")
    mask = np.array([[False, True]])
    for kept in BatchHard()(s, mask, mask):
        np.testing.assert_array_equal(kept, mask)


def test_config_round_trip():
    config = keras.saving.serialize_keras_object(BatchHard())
    assert isinstance(keras.saving.deserialize_keras_object(config), BatchHard)
