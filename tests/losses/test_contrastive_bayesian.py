import numpy as np
import pytest

from kerasdml.losses import ContrastiveBayesian, MultiSimilarity
from kerasdml.miners import MultiSimilarity as Mined
from tests.conftest import value_and_gradient
from tests.losses.conftest import cosines, masks


def formula(s, positives, negatives, aggregation="log", hardest=None, **arguments):
    """The authors' loss, one anchor at a time, in float64."""
    mix, weight = (
        arguments.get("variance_mix", 0.2),
        arguments.get("variance_weight", 1),
    )
    reduce = np.mean if arguments.get("variance") == "mean" else np.sum
    costs = []
    for row, pos, neg in zip(s.astype(float), positives, negatives, strict=True):
        pos, neg = row[pos], row[neg]
        if not pos.size or not neg.size:
            costs.append(0.0)
            continue
        hard_pos = pos[pos - 0.1 < neg.max()]
        hard_neg = neg[neg + 0.1 > pos.min()]
        if hardest:
            hard_neg = np.sort(neg)[-hardest:]
        if not hard_pos.size or not hard_neg.size:
            costs.append(0.0)
            continue
        a = np.sum(np.exp(-(hard_pos - 0.5) / 0.5))
        b = np.sum(np.exp((hard_neg - 1.0) / 0.01))
        mu = mix * pos.mean() + (1 - mix) * neg.mean()
        cost = {
            "log": np.log1p(a) + np.log1p(b),
            "sqrt": np.sqrt(1 + a) + np.sqrt(1 + b),
            "const": 2 + 0.25 * a + 0.25 * b,
        }[aggregation]
        costs.append(cost + weight * reduce((neg - mu) ** 2))
    return costs


each_aggregation = pytest.mark.parametrize("aggregation", ["log", "sqrt", "const"])


@each_aggregation
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"hardest": 2},
        {"hardest": 100},
        {"variance_mix": 0.1, "variance_weight": 0.5, "variance": "mean"},
    ],
)
def test_agrees_with_the_formula(any_pairs, aggregation, arguments):
    loss = ContrastiveBayesian(aggregation=aggregation, **arguments)
    expected = formula(*any_pairs, aggregation, **arguments)
    assert np.count_nonzero(expected) > 0
    np.testing.assert_allclose(loss.pair_loss(*any_pairs), expected, rtol=3e-5)


def test_agrees_with_the_formula_from_embeddings(unbalanced):
    labels, embeddings = unbalanced
    expected = np.mean(formula(cosines(embeddings), *masks(labels)))
    np.testing.assert_allclose(
        ContrastiveBayesian()(labels, embeddings), expected, rtol=3e-5
    )


@pytest.mark.parametrize(
    "aggregation, constrained, alone",
    [
        ("log", 0.8861879348, 0.6931494591),
        ("sqrt", 2.6072531774, 2.4142147016),
        ("const", 2.4430390454, 2.2500005696),
    ],
)
def test_values_worked_by_hand(at_angles, aggregation, constrained, alone):
    # At 0 and 60 degrees, and at 30 and 90: each positive is at cos 60 = 1/2, so a = 1
    # throughout; the closest negatives, at cos 30 = 0.866, have b = e^-13.4 at most.
    # Hence log 2, sqrt 2 + 1 and 2 1/4 without the constraint.
    # With it, an anchor with negatives at cos 30 and cos 90 = 0 has the mean
    # mu = 0.2 / 2 + 0.8 * 0.433013 = 0.446410: 0.446410^2 + 0.419615^2 = 0.375359; one
    # with both at cos 30, mu = 0.792820: 2 * 0.073205^2 = 0.010718.
    batch = np.array([0, 0, 1, 1]), at_angles(0, 60, 30, 90)
    loss = ContrastiveBayesian(aggregation=aggregation)
    np.testing.assert_allclose(loss(*batch), constrained, rtol=2e-6)
    loss = ContrastiveBayesian(aggregation=aggregation, variance_weight=0.0)
    np.testing.assert_allclose(loss(*batch), alone, rtol=2e-6)


@pytest.mark.parametrize(
    "aggregation, expected",
    [("log", 0.8343657709), ("sqrt", 1.6683877361), ("const", 1.5651555986)],
)
def test_an_anchor_whose_pairs_are_easy_pays_no_constraint_either(
    at_angles, aggregation, expected
):
    # At 0 and 60 degrees, and at 90 and 180: the anchor at 0 has its positive at 1/2
    # and negatives at 0 and -1, that at 180 its positive at 0 and negatives at -1/2 and
    # -1. Constraints of the others: 0.941051 and 0.39.
    loss = ContrastiveBayesian(aggregation=aggregation, reduction="none")
    costs = loss(np.array([0, 0, 1, 1]), at_angles(0, 60, 90, 180))
    np.testing.assert_array_equal(np.asarray(costs)[[0, 3]], 0)
    np.testing.assert_allclose(np.mean(costs), expected, rtol=2e-6)


def test_classes_far_apart_cost_exactly_nothing(at_angles):
    labels, embeddings = np.array([0, 0, 1, 1]), at_angles(0, 0, 180, 180)
    loss = ContrastiveBayesian()
    value, gradient = value_and_gradient(lambda x: loss(labels, x), embeddings)
    assert value == 0 and (gradient == 0).all()


def test_without_constraint_it_is_multi_similarity_with_other_weights(any_pairs):
    s, positives, negatives = any_pairs
    hard_positives, hard_negatives = Mined(epsilon=0.1)(s, positives, negatives)
    loss = ContrastiveBayesian(
        positive_temperature=1 / 2,
        negative_base=0.5,
        negative_temperature=1 / 50,
        variance_weight=0.0,
    )
    halves = MultiSimilarity(alpha=2, beta=50, base=0.5)
    pull = halves.pair_loss(s, hard_positives, False & negatives)
    push = halves.pair_loss(s, False & positives, hard_negatives)
    expected = 2 * np.asarray(pull) + 50 * np.asarray(push)
    np.testing.assert_allclose(loss.pair_loss(*any_pairs), expected, rtol=1e-5)


def test_equal_negatives_of_the_mean_pay_no_constraint(one_anchor):
    # mu = 0.5 * 0.4 + 0.5 * 0.4, where both negatives are.
    pairs = one_anchor([0.3, 0.5], [0.4, 0.4])
    with_constraint, without = (
        ContrastiveBayesian(variance_mix=0.5, variance_weight=w).pair_loss(*pairs)
        for w in (1.0, 0.0)
    )
    np.testing.assert_allclose(with_constraint, without, rtol=1e-6)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"aggregation": "mean"}, "`aggregation` must be .* aggregation='mean'"),
        ({"variance": "max"}, "`variance` must be 'sum' or 'mean'. .*'max'"),
        ({"negative_temperature": 0.0}, "must be positive. .*e_temperature=0.0"),
        ({"positive_weight": 0.0}, "must be positive. .*positive_weight=0.0"),
        ({"margin": -0.1}, "must not be negative, .*margin=-0.1"),
        ({"variance_mix": 1.5}, "must be 0 … 1. .*variance_mix=1.5"),
        ({"hardest": 0}, "`hardest` must be None or at least 1. .*hardest=0"),
    ],
)
def test_rejects_arguments_out_of_range(bad, message):
    with pytest.raises(ValueError, match=message):
        ContrastiveBayesian(**bad)
