import numpy as np
import pytest

from kerasdml.miners import PairMargin
from tests.miners.cases import each_anchor, random_pairs


def definition(pairs, margin, positive_margin):
    keep = np.zeros((2, *pairs[0].shape), bool)
    for i, (s, pos, neg) in enumerate(each_anchor(*pairs)):
        keep[0, i, [k for k in pos if s[k] < positive_margin]] = True
        keep[1, i, [k for k in neg if s[k] > margin]] = True
    return keep


@pytest.mark.parametrize("margins", [(0.5, 0.75), (0.75, 0.25), (-2.0, 2.0)])
def test_agrees_with_the_definition(margins):
    pairs = random_pairs(0)
    kept = PairMargin(margin=margins[0], positive_margin=margins[1])(*pairs)
    np.testing.assert_array_equal(kept, definition(pairs, *margins))


def test_choice_worked_by_hand():
    # Unit vectors 0.2 apart have a cosine of 1 - 0.2^2 / 2 = 0.98, 0.8 apart 0.68.
    s = np.array([[0.97, 0.99, 0.67, 0.69, 1.0]], "float32")
    positives = np.array([[1, 1, 0, 0, 0]], bool)
    negatives = np.array([[0, 0, 1, 1, 0]], bool)
    kept = PairMargin()(s, positives, negatives)
    np.testing.assert_array_equal(kept[0], [[1, 0, 0, 0, 0]])
    np.testing.assert_array_equal(kept[1], [[0, 0, 0, 1, 0]])


def test_rejects_a_margin_that_is_not_a_number():
    with pytest.raises(ValueError, match="must be numbers. Received: margin=nan"):
        PairMargin(margin=float("nan"))
