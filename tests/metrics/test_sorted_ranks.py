"""Long lists: the ranks of relevant items, from sorted values."""

import numpy as np
import pytest

from kerasdml.metrics.sorted_ranks import SortedRanks


def listed(similarities, relevant, ties, depth):
    """The list of one query, by Python's sort."""
    first = {"index": 0 * relevant, "optimistic": ~relevant, "pessimistic": relevant}
    order = sorted(
        (j for j in range(len(similarities)) if similarities[j] > -np.inf),
        key=lambda j: (-similarities[j], first[ties][j], j),
    )
    found = [bool(relevant[j]) for j in order[:depth]]
    return found + [False] * (depth - len(found))


# Of 12 items few are relevant to a query, of 90 many.
@pytest.mark.parametrize("size, depth", [(12, 1), (12, 5), (12, 12), (90, 7), (90, 90)])
@pytest.mark.parametrize("ties", ["index", "optimistic", "pessimistic"])
def test_agrees_with_a_sorted_list(ties, size, depth):
    # Of few values and what is left out, ties are everywhere, at the end as well.
    rng = np.random.default_rng(0)
    values = rng.choice([*np.arange(size / 3), -np.inf], size=(200, size))
    gallery_codes, codes = rng.integers(3, size=size), rng.integers(4, size=200)
    expected = [
        listed(row, gallery_codes == code, ties, depth)
        for row, code in zip(values, codes, strict=True)
    ]
    found = SortedRanks(gallery_codes, ties, depth)(values, codes)
    np.testing.assert_array_equal(found, expected)


def test_value_worked_by_hand():
    # Nearest first: 3 (B), 1 (A) and 2 (B) at one distance, 0 (A).
    similarities = np.array([[0.1, 0.5, 0.5, 0.9]])
    gallery_codes = np.array([0, 0, 1, 1])
    for ties, expected in [
        ("index", [0, 1, 0, 1]),
        ("optimistic", [0, 1, 0, 1]),
        ("pessimistic", [0, 0, 1, 1]),
    ]:
        found = SortedRanks(gallery_codes, ties, depth=4)(similarities, np.array([0]))
        np.testing.assert_array_equal(found, [np.array(expected, bool)])
