import itertools

import numpy as np
import pytest

from kerasdml.miners import BatchEasyHard, BatchHard
from tests.miners.cases import each_anchor, random_pairs

STRATEGIES = ("easy", "hard", "semi_hard", "all")
POSSIBLE = [
    (p, n)
    for p, n in itertools.product(STRATEGIES, STRATEGIES)
    if "semi_hard" not in (p, n) or {p, n} & {"easy", "hard"}
]


def first(places, key):
    return [min(places, key=key)] if len(places) else []


def definition(pairs, positives, negatives):
    """One anchor at a time, with distances as pytorch-metric-learning has them."""
    keep = np.zeros((2, *pairs[0].shape), bool)
    for i, (s, pos, neg) in enumerate(each_anchor(*pairs)):
        d = -s.astype(float)
        closest, farthest = d.__getitem__, (-d).__getitem__
        choose_pos = {
            "easy": lambda x, c=closest: first(x, c),
            "hard": lambda x, f=farthest: first(x, f),
            "all": list,
        }
        choose_neg = {
            "easy": lambda x, f=farthest: first(x, f),
            "hard": lambda x, c=closest: first(x, c),
            "all": list,
        }
        if positives == "semi_hard":
            n = choose_neg[negatives](neg)
            p = choose_pos["hard"]([k for k in pos if n and d[k] < d[n[0]]])
        elif negatives == "semi_hard":
            p = choose_pos[positives](pos)
            n = choose_neg["hard"]([k for k in neg if p and d[k] > d[p[0]]])
        else:
            p, n = choose_pos[positives](pos), choose_neg[negatives](neg)
        if "all" in (positives, negatives) or (p and n):
            keep[0, i, p] = keep[1, i, n] = True
    return keep


@pytest.mark.parametrize("positives, negatives", POSSIBLE)
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_definition(seed, positives, negatives):
    pairs = random_pairs(seed)
    kept = BatchEasyHard(positives=positives, negatives=negatives)(*pairs)
    np.testing.assert_array_equal(kept, definition(pairs, positives, negatives))


def test_choice_worked_by_hand():
    # The easy positive is 0.6; of the negatives farther than it 0.5 is the closest.
    s = np.array([[0.6, 0.2, 0.9, 0.5, 0.1]], "float32")
    positives = np.array([[1, 1, 0, 0, 0]], bool)
    kept = BatchEasyHard()(s, positives, ~positives)
    np.testing.assert_array_equal(kept[0], [[1, 0, 0, 0, 0]])
    np.testing.assert_array_equal(kept[1], [[0, 0, 0, 1, 0]])


def test_hard_and_hard_is_batch_hard_where_there_are_both():
    pairs = [x[3:] for x in random_pairs(3)]
    kept = BatchEasyHard(positives="hard", negatives="hard")(*pairs)
    np.testing.assert_array_equal(kept, BatchHard()(*pairs))


@pytest.mark.parametrize(
    "positives, negatives",
    [("semi_hard", "semi_hard"), ("semi_hard", "all"), ("all", "semi_hard")],
)
def test_rejects_semi_hard_without_one_pair_to_compare_with(positives, negatives):
    with pytest.raises(ValueError, match=f"'easy' or 'hard'.*negatives='{negatives}'"):
        BatchEasyHard(positives=positives, negatives=negatives)


@pytest.mark.parametrize("name", ["positives", "negatives"])
def test_rejects_a_strategy_it_does_not_know(name):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: {name}='any'"):
        BatchEasyHard(**{name: "any"})
