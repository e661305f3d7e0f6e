import numpy as np
import pytest

from kerasdml.miners import SemiHard
from tests.miners.cases import each_anchor, random_pairs


def values(pairs, kept):
    """The anchors and similarities of the pairs that are kept: which of equals, either
    may be."""
    s = pairs[0]
    return [sorted({(i, float(s[i, k])) for i, k in np.argwhere(m)}) for m in kept]


def definition(pairs):
    keep = np.zeros((2, *pairs[0].shape), bool)
    for i, (s, pos, neg) in enumerate(each_anchor(*pairs)):
        for p in pos:
            farther = [n for n in neg if s[n] < s[p]]
            if farther:
                keep[0, i, p] = True
                keep[1, i, max(farther, key=lambda k, s=s: s[k])] = True
    return keep


@pytest.mark.parametrize("references", [9, 90])  # of the many, pairs are sorted
def test_agrees_with_the_definition(references):
    pairs = random_pairs(0, anchors=20, references=references)
    kept, expected = np.array(SemiHard()(*pairs)), definition(pairs)
    np.testing.assert_array_equal(kept[0], expected[0])
    assert values(pairs, kept) == values(pairs, expected)
    assert kept[1].sum() == expected[1].sum()


def test_choice_worked_by_hand():
    # The positive 0.9 goes with 0.7 and 0.5 with 0.4; 0.2 has no farther negative.
    s = np.array([[0.9, 0.5, 0.2, 0.95, 0.7, 0.4, 0.3, -1.0]], "float32")
    positives = np.array([[1, 1, 1, 0, 0, 0, 0, 0]], bool)
    negatives = np.array([[0, 0, 0, 1, 1, 1, 1, 0]], bool)
    kept = SemiHard()(s, positives, negatives)
    np.testing.assert_array_equal(kept[0], [[1, 1, 0, 0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(kept[1], [[0, 0, 0, 0, 1, 1, 0, 0]])
