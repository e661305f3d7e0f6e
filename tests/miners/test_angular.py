import itertools

import numpy as np
import pytest

from kerasdml.miners import Angular
from kerasdml.references import References
from tests.miners.cases import each_anchor


def examples(seed, count, classes=4, dim=3):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, size=count)
    embeddings = generator.normal(size=(count, dim)).astype("float32")
    return References(embeddings, labels, np.arange(count))


def pairs_of(anchors, references, own):
    same = anchors.labels[:, None] == references.labels
    s = anchors.embeddings @ references.embeddings.T
    return s, same & ~np.eye(*s.shape, dtype=bool) if own else same, ~same


def angle(a, p, n):
    """In degrees, of embeddings scaled to unit length."""
    a, p, n = (
        x.astype(float) / np.sqrt(np.sum(x.astype(float) ** 2)) for x in (a, p, n)
    )
    base, height = np.linalg.norm(a - p), np.linalg.norm(n - (a + p) / 2)
    return np.degrees(np.arctan2(base, 2 * height))


def definition(pairs, anchors, references, limit):
    """Goes through all triplets."""
    keep = np.zeros((2, *pairs[0].shape), bool)
    for i, (_, pos, neg) in enumerate(each_anchor(*pairs)):
        for p, n in itertools.product(pos, neg):
            a, r = anchors.embeddings[i], references.embeddings
            if angle(a, r[p], r[n]) > limit:
                keep[0, i, p] = keep[1, i, n] = True
    return keep


@pytest.mark.parametrize(
    "own, limit", [(True, 20.0), (True, 45.0), (False, 5.0), (False, 80.0)]
)
def test_agrees_with_the_definition(own, limit):
    anchors = examples(0, 9)
    references = anchors if own else examples(1, 12)
    pairs = pairs_of(anchors, references, own)
    kept = Angular(angle=limit)(*pairs, anchors, references)
    expected = definition(pairs, anchors, references, limit)
    np.testing.assert_array_equal(kept, expected)


def test_agrees_with_the_definition_for_more_positives_than_a_byte_counts():
    anchors, references = examples(0, 3, classes=2), examples(1, 320, classes=2)
    pairs = pairs_of(anchors, references, own=False)
    assert pairs[1].sum(axis=1).max() > 127
    kept = Angular(angle=60.0)(*pairs, anchors, references)
    expected = definition(pairs, anchors, references, 60.0)
    np.testing.assert_array_equal(kept, expected)


@pytest.mark.parametrize(
    "limit, of_positives, of_negatives",
    [(22.0, [0, 1], [1, 1]), (23.0, [0, 1], [0, 1]), (68.0, [0, 0], [0, 0])],
)
def test_choice_worked_by_hand(limit, of_positives, of_negatives, at_angles):
    # An anchor at 0 and a positive at 90 degrees are sqrt(2) apart, and their centre is
    # sqrt(1/2) long. The negative at 225 degrees is sqrt(1/2) + 1 away from it, and the
    # angle atan(sqrt(2) / (sqrt(2) + 2)) = 22.5 degrees; at 45 degrees it is 67.5.
    anchor = References(at_angles(0), np.array([0]), np.array([0]))
    others = References(at_angles(0, 90, 225, 45), np.array([0, 0, 1, 1]), np.arange(4))
    pairs = pairs_of(anchor, others, own=True)
    kept = Angular(angle=limit)(*pairs, anchor, others)
    np.testing.assert_array_equal(kept[0], [[*of_positives, 0, 0]])
    np.testing.assert_array_equal(kept[1], [[0, 0, *of_negatives]])


@pytest.mark.parametrize("angle", [0.0, 90.0])
def test_rejects_an_angle_out_of_its_range(angle):
    with pytest.raises(ValueError, match=f"in degrees. Received: angle={angle}"):
        Angular(angle=angle)
