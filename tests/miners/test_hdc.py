import math

import numpy as np
import pytest

from kerasdml.miners import HDC
from tests.miners.cases import random_pairs


def hardest(hardness, mask, fraction):
    """What is at least as hard as the last that the share has room for."""
    values = sorted(hardness[mask], reverse=True)
    if not values:
        return mask
    least = values[math.ceil(fraction * len(values)) - 1]
    return mask & (hardness >= least)


@pytest.mark.parametrize("fraction", [0.01, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_definition(seed, fraction):
    s, positives, negatives = random_pairs(seed)
    kept = HDC(fraction=fraction)(s, positives, negatives)
    np.testing.assert_array_equal(kept[0], hardest(-s, positives, fraction))
    np.testing.assert_array_equal(kept[1], hardest(s, negatives, fraction))


def test_choice_worked_by_hand():
    # Of three positives a half is two, 0.1 and 0.5; of five negatives three, and the
    # fourth ties with the third.
    s = np.array([[0.1, 0.5, 0.7, 0.9], [0.3, 0.2, 0.1, 0.2]], "float32")
    positives = np.array([[1, 1, 1, 0], [0, 0, 0, 0]], bool)
    kept = HDC(fraction=0.5)(s, positives, ~positives)
    np.testing.assert_array_equal(kept[0], [[1, 1, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(kept[1], [[0, 0, 0, 1], [1, 1, 0, 1]])


@pytest.mark.parametrize("fraction", [0.0, 1.5, float("nan")])
def test_rejects_a_share_out_of_its_range(fraction):
    with pytest.raises(ValueError, match=f"at most 1. Received: fraction={fraction}"):
        HDC(fraction=fraction)
