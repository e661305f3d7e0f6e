"""Each loss and miner of pytorch-metric-learning beside what is its equal here."""

import itertools
import json

import numpy as np
import pytest

pytest.importorskip("pytorch_metric_learning", reason="pip install '.[bench]'")

import torch

from kerasdml import miners
from kerasdml.ops import similarities
from kerasdml.references import References
from tests.losses import comparisons
from tests.losses.conftest import masks
from tests.losses.pytorch_metric_learning_cases import CASES, HARDEST
from tests.losses.record_pytorch_metric_learning import FILE, NAMES, recorded, theirs

pytestmark = pytest.mark.filterwarnings("ignore:::pytorch_metric_learning")
MINERS = {
    "AngularMiner()": miners.Angular(),
    "AngularMiner(angle=30)": miners.Angular(angle=30.0),
    "BatchEasyHardMiner()": miners.BatchEasyHard(),
    "BatchEasyHardMiner('semihard', 'hard')": miners.BatchEasyHard(
        positives="semi_hard", negatives="hard"
    ),
    "BatchEasyHardMiner('all', 'easy')": miners.BatchEasyHard(
        positives="all", negatives="easy"
    ),
    "BatchHardMiner()": HARDEST,
    "MultiSimilarityMiner()": miners.MultiSimilarity(),
    "PairMarginMiner()": miners.PairMargin(),
    "TripletMarginMiner(distance=CosineSimilarity())": miners.TripletMargin(margin=0.2),
    "TripletMarginMiner(.3, 'hard', distance=CosineSimilarity())": (
        miners.TripletMargin(margin=0.3, triplets="hard")
    ),
    "TripletMarginMiner(.3, 'semihard', distance=CosineSimilarity())": (
        miners.TripletMargin(margin=0.3, triplets="semi_hard")
    ),
    "TripletMarginMiner(.3, 'easy', distance=CosineSimilarity())": (
        miners.TripletMargin(margin=0.3, triplets="easy")
    ),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_value_and_gradient_are_those_of_pytorch_metric_learning(case):
    comparisons.check(case, theirs, comparisons.batches(case, [1], [True]))


def test_the_values_kept_for_the_other_tests_are_those_of_pytorch_metric_learning():
    comparisons.check_same(json.loads(FILE.read_text())["values"], recorded())


def their_pairs(miner, labels, embeddings):
    """Returns which positives and which negatives `miner` keeps; of triplets, all."""
    x = torch.tensor(embeddings, dtype=torch.float64)
    mined = eval(miner, NAMES)(x, torch.tensor(labels))
    a1, p, a2, n = mined if len(mined) == 4 else (*mined[:2], mined[0], mined[2])
    positives, negatives = np.zeros((2, len(labels), len(labels)), bool)
    positives[a1, p] = negatives[a2, n] = True
    return positives, negatives


def our_pairs(miner):
    """Returns `pairs(labels, embeddings)`: what `miner` keeps."""

    def kept(labels, embeddings, positives, negatives):
        pairs = similarities(embeddings, embeddings), positives, negatives
        rows = References(embeddings, labels, None)
        return miner(*pairs, *([rows, rows] if miner.needs_examples else []))

    kept = comparisons.compiled_where_quicker(kept)
    return lambda labels, embeddings: tuple(
        np.asarray(x) for x in kept(labels, embeddings, *masks(labels))
    )


@pytest.mark.parametrize("name", MINERS)
def test_pairs_are_those_of_pytorch_metric_learning(name):
    count, kept = 0, our_pairs(MINERS[name])
    for layout, seed in itertools.product(comparisons.LAYOUTS, range(2)):
        batch = comparisons.batch(seed, layout, unit=True)
        expected = their_pairs(name, *batch)
        count += np.sum(expected)
        np.testing.assert_array_equal(kept(*batch), expected)
    assert count > 0


def test_batch_hard_keeps_a_negative_of_an_anchor_without_positives():
    batch = comparisons.batch(0, "one alone", unit=True)
    alone = batch[0] == 0
    _, kept = our_pairs(miners.BatchHard())(*batch)
    _, expected = their_pairs("BatchHardMiner()", *batch)
    np.testing.assert_array_equal(kept[~alone], expected[~alone])
    assert kept[alone].sum() == 1 and expected[alone].sum() == 0


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_the_hardest_share_keeps_both_of_two_that_are_equally_hard(share):
    # Each pair is there from both sides, and pytorch-metric-learning may keep one.
    batch = comparisons.batch(0, "uneven", unit=True)
    ours = our_pairs(miners.HDC(fraction=share))(*batch)
    expected = their_pairs(f"HDCMiner({share})", *batch)
    for kept, theirs_of_kind in zip(ours, expected, strict=True):
        assert not np.any(theirs_of_kind & ~kept)
        assert kept.sum() - theirs_of_kind.sum() <= 1
