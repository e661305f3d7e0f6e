import numpy as np
import pytest

from kerasdml.miners import BatchHard, NHardest
from tests.miners.cases import each_anchor, random_pairs


def definition(pairs, count, count_of_negatives):
    """A stable sort of each anchor's pairs, the hardest first."""
    keep = np.zeros((2, *pairs[0].shape), bool)
    for i, (s, pos, neg) in enumerate(each_anchor(*pairs)):
        keep[0, i, sorted(pos, key=lambda k, s=s: s[k])[:count]] = True
        keep[1, i, sorted(neg, key=lambda k, s=s: -s[k])[:count_of_negatives]] = True
    return keep


@pytest.mark.parametrize("counts", [(1, 1), (2, 3), (3, 1), (99, 99)])
def test_agrees_with_the_definition(counts):
    pairs = random_pairs(0, anchors=20)
    kept = NHardest(positives=counts[0], negatives=counts[1])(*pairs)
    np.testing.assert_array_equal(kept, definition(pairs, *counts))


def test_one_of_each_is_batch_hard():
    pairs = random_pairs(5)
    kept = NHardest(positives=1, negatives=1)(*pairs)
    np.testing.assert_array_equal(kept, BatchHard()(*pairs))


@pytest.mark.parametrize("bad", [{"positives": 0}, {"negatives": -1}])
def test_rejects_a_number_below_1(bad):
    with pytest.raises(ValueError, match="at least 1. Received: positives="):
        NHardest(**bad)
