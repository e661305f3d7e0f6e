import numpy as np
import pytest

from kerasdml import metrics
from kerasdml.metrics.pair_scores import PairScores
from kerasdml.reports import curves


def test_lists_grow_by_decades_up_to_the_gallery():
    assert curves.curve_ks(1) == (1,)
    assert curves.curve_ks(4) == (1, 2, 3, 4)
    for size in (10, 57, 13_000):
        ks = curves.curve_ks(size)
        assert ks[0] == 1 and ks[-1] == min(size, 1000)
        assert {k for k in (10, 100, 1000) if k <= size} <= set(ks)
        assert list(ks) == sorted(set(ks)) and len(ks) < 20


def test_precision_worked_by_hand():
    # Same .9 .8, different .7 .2 .1: at .9 and .8 all accepted are same. If 1 pair in
    # 10 is same, the false positives weigh 9 / 1: at .7 there are 0.1 against 0.9 / 3.
    curve = metrics.roc_curve([0.9, 0.8, 0.7, 0.2, 0.1], [1, 1, 0, 0, 0])
    precision = curves.precisions(curve, prior=0.1)
    np.testing.assert_allclose(precision, [1, 1, 0.1 / 0.4, 0.1 / 0.7, 0.1])


def test_precision_agrees_with_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    same = rng.random(500) < 0.3
    scores = np.round(rng.normal(size=500) + same, 1)  # with ties
    curve = metrics.roc_curve(scores, same)
    precision, recall, _ = sklearn.precision_recall_curve(same, scores)
    np.testing.assert_allclose(curves.precisions(curve, same.mean()), precision[-2::-1])
    np.testing.assert_allclose(curve.tpr[1:], recall[-2::-1])


def test_a_thinned_curve_looks_the_same():
    rng = np.random.default_rng(0)
    same = rng.random(200_000) < 0.5
    curve = metrics.roc_curve(rng.normal(size=200_000) + 2 * same, same)
    keep = curves.visible(curve, points=500)
    assert keep[0] == 0 and keep[-1] == len(curve.fpr) - 1 and len(keep) < 2000
    everywhere = np.geomspace(1e-5, 1, 1000)
    shown = np.interp(everywhere, curve.fpr[keep], curve.tpr[keep])
    np.testing.assert_allclose(
        shown, np.interp(everywhere, curve.fpr, curve.tpr), atol=3e-3
    )


def test_a_short_curve_stays_whole():
    curve = metrics.roc_curve([0.9, 0.5, 0.4, 0.1], [1, 0, 1, 0])
    assert curves.visible(curve).tolist() == [0, 1, 2, 3, 4]


def test_histograms_are_shares_of_their_kind():
    pairs = PairScores(
        scores=np.array([0.0, 0.1, 0.9, 1.0, 1.0]),
        same=np.array([False, False, False, True, True]),
        prior=0.4,
        exact=True,
    )
    same, different, edges = curves.pair_histogram(pairs, bins=2)
    assert edges.tolist() == [0, 0.5, 1]
    assert same.tolist() == [0, 1]
    np.testing.assert_allclose(different, [2 / 3, 1 / 3])
