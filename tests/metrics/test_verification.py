import numpy as np
import pytest

from kerasdml.metrics import fold_accuracy, pair_scores, roc_curve, verification
from kerasdml.ops import SIMILARITIES, similarities

SCORES = [0.9, 0.8, 0.3, 0.7, 0.4, 0.2]
SAME = [1, 1, 1, 0, 0, 0]


def tied(n=300, seed=0):
    """Scores of few values, so that most tie, of unequally many of each kind."""
    rng = np.random.default_rng(seed)
    same = rng.random(n) < 0.3
    return np.round(rng.normal(size=n) + same, 1), same


def test_worked_example():
    # One same pair, .3, is below two different ones: 2 of 9 comparisons are wrong.
    # Accepting .9, .8 and .7 makes one error of three of either kind.
    found = verification(SCORES, SAME, fprs=(0, 0.1, 1 / 3, 2 / 3, 1), folds=None)
    assert found == pytest.approx(
        {
            "roc_auc": 7 / 9,
            "eer": 1 / 3,
            "tpr_at_fpr_0": 2 / 3,
            "tpr_at_fpr_0.1": 2 / 3,
            "tpr_at_fpr_0.333333": 2 / 3,
            "tpr_at_fpr_0.666667": 1,
            "tpr_at_fpr_1": 1,
        }
    )


def test_ties_count_by_half():
    # Of 4 comparisons 3 are right and one ties. The slope of the tie, from (0, 1/2) to
    # (1/2, 1), has as many errors of either kind at (1/4, 3/4).
    found = verification([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0], folds=None)
    assert found["roc_auc"] == 0.875
    assert found["eer"] == 0.25
    assert found["tpr_at_fpr_0.001"] == 0.5
    assert verification([2] * 3, [1, 0, 0], folds=None)["roc_auc"] == 0.5


def test_curve():
    curve = roc_curve([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0])
    np.testing.assert_array_equal(curve.thresholds, [np.inf, 0.9, 0.5, 0.1])
    np.testing.assert_array_equal(curve.tpr, [0, 0.5, 1, 1])
    np.testing.assert_array_equal(curve.fpr, [0, 0, 0.5, 1])


def test_agrees_with_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    scores, same = tied()
    curve = roc_curve(scores, same)
    fpr, tpr, thresholds = sklearn.roc_curve(same, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.fpr, fpr)
    np.testing.assert_allclose(curve.tpr, tpr)
    np.testing.assert_array_equal(curve.thresholds, thresholds)
    auc = verification(scores, same)["roc_auc"]
    assert auc == pytest.approx(sklearn.roc_auc_score(same, scores))


def test_figures_ignore_the_order_of_pairs_and_a_monotonic_change_of_scores():
    scores, same = tied()
    found = verification(scores, same, folds=None)
    order = np.random.default_rng(1).permutation(len(scores))
    assert verification(scores[order], same[order], folds=None) == found
    assert verification(np.exp(scores), same, folds=None) == found


def test_folds_worked_by_hand():
    # Fold 1: pairs 3 and 4 are both right at 1.0 only; then so are 1 and 2. Fold 2:
    # pairs 1 and 2 are right from .6 on, at which pair 3 is rejected.
    distances, same = np.array([0.5, 1.5, 0.7, 1.2]), [1, 0, 1, 0]
    grid = -np.array([0, 0.6, 1.0, 1.4])
    found = fold_accuracy(-distances, same, folds=2, thresholds=grid)
    np.testing.assert_array_equal(found, [1, 0.5])
    found = verification(-distances, same, folds=2, thresholds=grid)
    assert (found["accuracy"], found["accuracy_std"]) == (0.75, 0.25)


def test_thresholds_are_chosen_on_the_other_folds():
    scores, same = tied(n=97)
    folds = np.sort(np.random.default_rng(1).integers(0, 5, size=97))
    expected = []
    for fold in range(5):
        s, y = scores[folds != fold], same[folds != fold]
        thresholds = [np.inf, *sorted(set(s), reverse=True)]
        best = max(thresholds, key=lambda t, s=s, y=y: np.sum((s >= t) == y))
        held_out = folds == fold
        expected.append(np.mean((scores[held_out] >= best) == same[held_out]))
    np.testing.assert_allclose(fold_accuracy(scores, same, folds=folds), expected)


def test_folds_are_contiguous():
    scores, same = tied(n=100)
    found = fold_accuracy(scores, same)
    by_hand = fold_accuracy(scores, same, folds=np.repeat(np.arange(10), 10))
    np.testing.assert_array_equal(found, by_hand)


def clouds(n=40):
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(["a", "b", "c", "d", "e"], [20, 10, 6, 3, 1]))
    return rng.normal(size=(n, 4)).astype("float32"), labels


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_all_pairs_of_a_small_set(similarity):
    x, labels = clouds()
    pairs = pair_scores(x, labels, similarity=similarity)
    i, j = np.triu_indices(40, k=1)
    expected = np.asarray(similarities(x, x, similarity))[i, j]
    np.testing.assert_allclose(pairs.scores, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(pairs.same, labels[i] == labels[j])
    assert pairs.exact
    assert pairs.prior == pytest.approx(np.mean(pairs.same))


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_a_sample_of_a_large_set(similarity):
    # Of 780 pairs, 253 same (190 + 45 + 15 + 3).
    x, labels = clouds()
    matrix = np.asarray(similarities(x, x, similarity))
    pairs = pair_scores(x, labels, similarity=similarity, max_pairs=600, seed=3)
    assert not pairs.exact
    assert pairs.prior == pytest.approx(253 / 780)
    assert np.sum(pairs.same) == 253, "all same pairs fit into half of it"
    assert 150 < np.sum(~pairs.same) <= 347
    i, j = np.triu_indices(40, k=1)
    for kind in (True, False):
        known = matrix[i, j][(labels[i] == labels[j]) == kind]
        found = pairs.scores[pairs.same == kind]
        gaps = np.abs(found[:, None] - known).min(axis=1)
        np.testing.assert_allclose(gaps, 0, atol=1e-4)


@pytest.mark.parametrize("max_pairs", [600, 780])
def test_chunks_do_not_change_the_scores(max_pairs):
    x, labels = clouds()
    whole = pair_scores(x, labels, max_pairs=max_pairs)
    for chunk_size in (7, 100):
        chunks = pair_scores(x, labels, max_pairs=max_pairs, chunk_size=chunk_size)
        np.testing.assert_allclose(chunks.scores, whole.scores, atol=1e-6)
        np.testing.assert_array_equal(chunks.same, whole.same)


def test_every_pair_of_a_kind_is_drawn_as_likely():
    # Scores that depend on the classes and on the order, of 48,181 same pairs and
    # 31,619 different ones.
    labels = np.repeat([3, 1, 0, 2], [300, 80, 19, 1])
    x = np.linspace(-1, 3, 400)[:, None] * np.where(labels == 1, 2, 1)[:, None]
    pairs = pair_scores(x, labels, similarity="dot", max_pairs=20_000)
    i, j = np.triu_indices(400, k=1)
    products, same = (x[i] * x[j])[:, 0], labels[i] == labels[j]
    for kind in (True, False):
        drawn, known = pairs.scores[pairs.same == kind], products[same == kind]
        assert 8000 < len(drawn) < 12_000
        assert len(set(drawn.tolist())) > 7000
        for power in (1, 2):
            error = np.std(known**power) / np.sqrt(len(drawn))
            assert abs(np.mean(drawn**power) - np.mean(known**power)) < 4 * error


@pytest.mark.parametrize(
    "labels, prior", [([0] * 9, 1), (range(9), 0), ([0] * 8 + [1], 28 / 36)]
)
def test_a_sample_where_a_kind_is_rare(labels, prior):
    pairs = pair_scores(np.eye(9), list(labels), max_pairs=20)
    assert 1 <= len(pairs.scores) <= 20
    assert pairs.prior == prior


def test_a_seed_gives_the_same_sample_again():
    x, labels = clouds()
    first, again, other = (
        pair_scores(x, labels, max_pairs=99, seed=s) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.scores, again.scores)
    assert first.scores.tolist() != other.scores.tolist()


@pytest.mark.parametrize(
    "scores, same, options, message",
    [
        ([0.5, np.nan, 1], [1, 0, 1], {}, "1 of 3 are NaN or infinite, pair 1 first"),
        ([0.5, np.inf], [1, 0], {}, "pair 1 first"),
        (
            [0.5, 0.1],
            [1, 0, 1],
            {},
            r"shape `\(n,\)`. Received: shapes \(2,\) and \(3,\)",
        ),
        ([[0.5], [0.1]], [1, 0], {}, r"shapes \(2, 1\) and \(2,\)"),
        ([0.5, 0.1], [1, 1], {}, "Received: 2 pairs, all same"),
        ([0.5, 0.1], [0, 0], {}, "Received: 2 pairs, all different"),
        ([], [], {}, "Received: 0 pairs"),
        ([0.5, 0.1], [3, 4], {}, "`same` must be booleans, or 0 and 1"),
        ([0.5, 0.1], ["a", "b"], {}, "`same` must be booleans, or 0 and 1"),
        (SCORES, SAME, {"fprs": (2,)}, "`fprs` must be from 0 to 1. Received: 2"),
        (SCORES, SAME, {}, "number of folds from 2 to 6.* Received: 10"),
        (SCORES, SAME, {"folds": 2.5}, "Received: 2.5"),
        (SCORES, SAME, {"folds": [0, 1]}, r"Received: shape \(2,\)"),
        (SCORES, SAME, {"folds": [0] * 6}, "at least two folds"),
    ],
)
def test_rejects_what_it_cannot_verify(scores, same, options, message):
    with pytest.raises(ValueError, match=message):
        verification(scores, same, **options)


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        ((np.ones((3, 2)), [0, 1]), {}, "`labels` must have one label per embedding"),
        ((np.full((3, 2), np.nan), [0, 1, 1]), {}, "`embeddings` must be finite"),
        ((np.ones((1, 2)), [0]), {}, "at least two embeddings.* 1 embeddings"),
        ((np.ones((3, 2)), [0, 1, 1]), {"max_pairs": 1}, "max_pairs=1"),
        ((np.ones((3, 2)), [0, 1, 1]), {"chunk_size": 0}, "`chunk_size` must be"),
        ((np.ones((3, 2)), [0, 1, 1]), {"similarity": "l3"}, "`similarity` must be"),
    ],
)
def test_rejects_what_it_cannot_pair(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        pair_scores(*arguments, **options)
