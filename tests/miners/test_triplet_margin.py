import itertools

import numpy as np
import pytest

from kerasdml.miners import TripletMargin
from tests.miners.cases import each_anchor, random_pairs

KINDS = {
    "all": lambda closer, margin: closer <= margin,
    "hard": lambda closer, margin: closer <= 0,
    "semi_hard": lambda closer, margin: 0 < closer <= margin,
    "easy": lambda closer, margin: closer > margin,
}


def definition(pairs, margin, triplets):
    """Goes through all triplets."""
    keep = np.zeros((2, *pairs[0].shape), bool)
    for i, (s, pos, neg) in enumerate(each_anchor(*pairs)):
        for p, n in itertools.product(pos, neg):
            if KINDS[triplets](s[p] - s[n], margin):
                keep[0, i, p] = keep[1, i, n] = True
    return keep


@pytest.mark.parametrize("references", [9, 90])  # of the many, pairs are sorted
@pytest.mark.parametrize("margin", [0.0, 0.25])
@pytest.mark.parametrize("triplets", KINDS)
def test_agrees_with_the_definition(triplets, margin, references):
    pairs = random_pairs(0, anchors=20, references=references)
    kept = TripletMargin(margin=margin, triplets=triplets)(*pairs)
    np.testing.assert_array_equal(kept, definition(pairs, margin, triplets))


@pytest.mark.parametrize(
    "triplets, of_positives, of_negatives",
    [
        ("hard", [0, 1], [1, 0, 0]),
        ("semi_hard", [1, 1], [1, 1, 0]),
        ("all", [1, 1], [1, 1, 0]),
        ("easy", [1, 1], [0, 1, 1]),
    ],
)
def test_choice_worked_by_hand(triplets, of_positives, of_negatives):
    # With a margin of 0.2, the positive 0.9 and the negatives 0.75, 0.5 and 0.1 make
    # one semi-hard triplet and two easy ones; the positive 0.6 one of each kind.
    s = np.array([[0.9, 0.6, 0.75, 0.5, 0.1]], "float32")
    positives = np.array([[1, 1, 0, 0, 0]], bool)
    kept = TripletMargin(margin=0.2, triplets=triplets)(s, positives, ~positives)
    np.testing.assert_array_equal(kept[0], [[*of_positives, 0, 0, 0]])
    np.testing.assert_array_equal(kept[1], [[0, 0, *of_negatives]])


def test_rejects_what_it_does_not_know():
    with pytest.raises(ValueError, match="not be negative. Received: margin=-0.5"):
        TripletMargin(margin=-0.5)
    with pytest.raises(ValueError, match="'easy'. Received: triplets='semihard'"):
        TripletMargin(triplets="semihard")
