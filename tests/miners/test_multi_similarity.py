import keras
import numpy as np
import pytest

from kerasdml.miners import MultiSimilarity


def definition(similarities, positives, negatives, epsilon):
    """The paper's rule, one pair at a time."""
    keep = np.zeros((2, *similarities.shape), bool)
    for i, s in enumerate(similarities):
        pos, neg = np.flatnonzero(positives[i]), np.flatnonzero(negatives[i])
        if pos.size and neg.size:
            keep[0, i, pos] = [s[k] - epsilon < max(s[neg]) for k in pos]
            keep[1, i, neg] = [s[k] + epsilon > min(s[pos]) for k in neg]
    return keep


def random_pairs(seed):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, size=12)
    same = labels[:, None] == labels
    s = generator.uniform(-1, 1, size=(12, 12)).astype("float32")
    return s, same & ~np.eye(12, dtype=bool), ~same


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.7])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_definition(seed, epsilon):
    kept = MultiSimilarity(epsilon=epsilon)(*random_pairs(seed))
    np.testing.assert_array_equal(kept, definition(*random_pairs(seed), epsilon))


def test_agrees_with_the_definition_on_a_half_circle(pairs):
    # No similarity lies within float32 of a limit that 0.1 sets.
    np.testing.assert_array_equal(MultiSimilarity()(*pairs), definition(*pairs, 0.1))


def test_choice_worked_by_hand():
    # Positives 0.5 and 0.9, negatives 0.45, 0.3 and 0.7, and what is neither. The
    # farthest positive less 0.1 is 0.4: the negatives 0.45 and 0.7 stay. The closest
    # negative plus 0.1 is 0.8: the positive 0.5 stays.
    s = np.array([[0.5, 0.9, 0.45, 0.3, 0.7, 1.0]], "float32")
    positives = np.array([[True, True, False, False, False, False]])
    negatives = np.array([[False, False, True, True, True, False]])
    kept = MultiSimilarity(epsilon=0.1)(s, positives, negatives)
    np.testing.assert_array_equal(kept[0], [[1, 0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(kept[1], [[0, 0, 1, 0, 1, 0]])


@pytest.mark.parametrize("kind", [0, 1])
def test_an_anchor_with_pairs_of_one_kind_keeps_nothing(kind):
    s = np.array([[0.9, -0.9, 0.1]], "float32")
    masks = [np.zeros((1, 3), bool), np.zeros((1, 3), bool)]
    masks[kind][:] = True
    assert not np.any(MultiSimilarity(epsilon=5.0)(s, *masks))


def test_keeps_duplicates():
    # All at similarity 1: a positive at 1 is farther than the negative at 1, plus 0.1.
    s = np.ones((1, 2), "float32")
    mask = np.array([[True, False]])
    positives, negatives = MultiSimilarity()(s, mask, ~mask)
    np.testing.assert_array_equal(positives, mask)
    np.testing.assert_array_equal(negatives, ~mask)


def test_config_round_trip():
    miner = MultiSimilarity(epsilon=0.3)
    config = keras.saving.serialize_keras_object(miner)
    assert keras.saving.deserialize_keras_object(config).epsilon == 0.3


def test_rejects_a_negative_epsilon():
    with pytest.raises(
        ValueError, match="must not be negative. Received: epsilon=-0.1"
    ):
        MultiSimilarity(epsilon=-0.1)
