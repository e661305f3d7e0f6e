import numpy as np
import pytest

from kerasdml.metrics import Calibration, calibrate, pair_scores

SCORES = [0.9, 0.8, 0.3, 0.7, 0.4, 0.2]
SAME = [1, 1, 1, 0, 0, 0]


def figures(scores, same, threshold, prior=None):
    """Precision, recall, F1, accuracy and false-match rate, by counting."""
    matched = scores >= threshold
    recall, false_match_rate = np.mean(matched[same]), np.mean(matched[~same])
    prior = np.mean(same) if prior is None else prior
    right, wrong = prior * recall, (1 - prior) * false_match_rate
    precision = right / (right + wrong) if right + wrong else 1.0
    f1 = 2 * precision * recall / (precision + recall)
    return precision, recall, f1, right + 1 - prior - wrong, false_match_rate


def tied(n=200):
    rng = np.random.default_rng(0)
    same = rng.random(n) < 0.3
    return np.round(rng.normal(size=n) + 2 * same, 1), same


def test_cut_points_worked_by_hand():
    found = calibrate(SCORES, SAME, false_match_rates=(0, 1 / 3, 2 / 3))
    # F1 at .9 … .2: 1/2, 4/5, 2/3, 4/7, 3/4, 2/3. Rightly decided: 4, 5, 4, 3, 4, 3.
    best = found.best_f1
    assert best.threshold == 0.8
    assert (best.precision, best.recall) == (1, 2 / 3)
    assert (best.f1, best.accuracy) == pytest.approx((4 / 5, 5 / 6))
    assert best.false_non_match_rate == pytest.approx(1 / 3)
    assert found.best_accuracy == best
    # At .7 both error rates are a third.
    assert found.equal_error.threshold == 0.7
    # A third allows .7 too, but that accepts no further same pair.
    thresholds = [found.false_match_rate(r).threshold for r in (0, 1 / 3, 2 / 3)]
    assert thresholds == [0.8, 0.8, 0.3]
    assert found.prior == 0.5
    assert found.similarity is None


@pytest.mark.parametrize("prior", [None, 0.01, 0.9])
def test_agrees_with_counting_at_every_threshold(prior):
    scores, same = tied()
    found = calibrate(scores, same, prior=prior, false_match_rates=(0.1,))
    table = np.array([figures(scores, same, t, prior) for t in sorted(set(scores))])
    assert found.best_f1.f1 == pytest.approx(table[:, 2].max())
    assert found.best_accuracy.accuracy >= table[:, 3].max() - 1e-12
    allowed = table[table[:, 4] <= 0.1]
    assert found.false_match_rate(0.1).recall == pytest.approx(allowed[:, 1].max())
    gaps = np.abs(table[:, 4] - (1 - table[:, 1]))
    equal = found.equal_error
    gap = abs(equal.false_match_rate - equal.false_non_match_rate)
    assert gap == pytest.approx(gaps.min())
    for cut_point in (found.best_f1, equal, found.false_match_rate(0.1)):
        expected = figures(scores, same, cut_point.threshold, prior)
        values = (
            cut_point.precision,
            cut_point.recall,
            cut_point.f1,
            cut_point.accuracy,
            cut_point.false_match_rate,
        )
        assert values == pytest.approx(expected)


def test_rare_matches_ask_for_a_stricter_threshold():
    scores, same = tied()
    thresholds = [
        calibrate(scores, same, prior=p).best_f1.threshold for p in (0.9, 0.3, 0.001)
    ]
    assert thresholds == sorted(set(thresholds))


def test_nothing_matches_where_no_rate_allows_it():
    found = calibrate([0.9, 0.8, 0.9], [0, 1, 1], false_match_rates=(0,))
    cut_point = found.false_match_rate(0)
    assert (cut_point.recall, cut_point.precision, cut_point.f1) == (0, 1, 0)
    assert not found.match([0.9, 0.8], at=0).any()
    assert np.float32(cut_point.threshold) > np.float32(0.9)


def test_survives_json():
    found = calibrate(*tied(), false_match_rates=(0, 1 / 3))
    assert Calibration.from_json(found.to_json()) == found
    for text in ("{}", "[1]", "threshold", '{"best_f1": {"threshold": 1}}'):
        with pytest.raises(ValueError, match="must be what `Calibration.to_json`"):
            Calibration.from_json(text)


def test_matches_at_a_named_cut_point():
    found = calibrate(SCORES, SAME, false_match_rates=(2 / 3,))
    np.testing.assert_array_equal(found.match([[0.8, 0.79]]), [[True, False]])
    np.testing.assert_array_equal(found.match(np.float32(SCORES[:2])), [True, True])
    np.testing.assert_array_equal(
        found.match([0.7, 0.3, 0.2, np.nan], at=2 / 3), [True, True, False, False]
    )
    assert found.match(0.7, at="equal_error")
    names = ["best_f1", "best_accuracy", "equal_error", "0.6666666666666666"]
    assert list(found.cut_points) == names
    assert found.match(0.3, at=names[-1])
    with pytest.raises(ValueError, match="rate of 0.5. Found were those for"):
        found.match(0.7, at=0.5)
    with pytest.raises(ValueError, match="`at` must be 'best_f1'.*at='best'"):
        found.match(0.7, at="best")


def test_embeddings_are_calibrated_by_their_pairs():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(20), 5)
    x = np.eye(20, 8)[labels] + 0.3 * rng.normal(size=(100, 8))
    pairs = pair_scores(x, labels, similarity="euclidean")
    expected = calibrate(pairs.scores, pairs.same)
    found = calibrate(x, labels, similarity="euclidean")
    assert found.best_f1 == expected.best_f1
    assert found.similarity == "euclidean"
    # All same pairs, which are few, and a third of the others.
    sampled = calibrate(x, labels, similarity="euclidean", max_pairs=2000)
    assert sampled.prior == pytest.approx(found.prior) == pytest.approx(4 / 99)
    assert sampled.best_f1.f1 == pytest.approx(found.best_f1.f1, abs=0.05)


@pytest.mark.parametrize(
    "scores, labels, options, message",
    [
        ([0.5, np.nan], [1, 0], {}, "1 of 2 are NaN or infinite, pair 1 first"),
        ([0.5, 0.1], [1, 0, 1], {}, r"Received: shapes \(2,\) and \(3,\)"),
        ([0.5, 0.1], [1, 1], {}, "Received: 2 pairs, all same"),
        ([0.5, 0.1], [7, 8], {}, "`same` must be booleans, or 0 and 1"),
        (np.eye(3), [0, 1, 2], {}, "Received: 3 pairs, all different"),
        (np.eye(3), [0, 1], {}, "`labels` must have one label per embedding"),
        (SCORES, SAME, {"prior": 1}, "`prior` must be above 0 and below 1"),
        (SCORES, SAME, {"false_match_rates": (-0.1,)}, "`false_match_rates` must be"),
    ],
)
def test_rejects_what_it_cannot_calibrate(scores, labels, options, message):
    with pytest.raises(ValueError, match=message):
        calibrate(scores, labels, **options)
