import numpy as np
import pytest

from kerasdml.losses import PNP
from tests.losses.conftest import cosines, masks

PENALTIES = {
    "O": lambda b: b,
    "Iu": lambda b: (1 + b) * np.log(1 + b),
    "Ib": lambda b: (3 * b - np.log(1 + 3 * b)) / 9,
    "Ds": lambda b: np.log(1 + b),
    "Dq": lambda b: 1 - 1 / (1 + b) ** 4,
}


def formula(similarities, positives, negatives, variant, temperature):
    """The mean penalty of each anchor's positives, with alpha = 4 and base = 3."""
    costs = []
    for s, positive, negative in zip(similarities, positives, negatives, strict=True):
        penalties = [
            PENALTIES[variant](
                np.sum(1 / (1 + np.exp(-(s[negative] - s[p]) / temperature)))
            )
            for p in np.flatnonzero(positive)
        ]
        costs.append(np.mean(penalties) if penalties else 0.0)
    return np.array(costs)


each_variant = pytest.mark.parametrize("variant", sorted(PENALTIES))


@each_variant
def test_agrees_with_the_formula(any_pairs, variant):
    s, positives, negatives = any_pairs
    costs = formula(s.astype("float64"), positives, negatives, variant, 0.1)
    loss = PNP(variant=variant, alpha=4.0, base=3.0, temperature=0.1)
    np.testing.assert_allclose(loss.pair_loss(*any_pairs), costs, rtol=1e-3, atol=1e-6)


@each_variant
def test_gradient_agrees_with_finite_differences(any_pairs, variant, pair_gradient):
    s, *pair_masks = any_pairs
    way, delta = np.random.default_rng(0).normal(size=s.shape), 1e-6
    up, down = (
        formula(s + sign * delta * way, *pair_masks, variant, 0.1).sum()
        for sign in (1, -1)
    )
    loss = PNP(variant=variant, alpha=4.0, base=3.0, temperature=0.1)
    slope = np.sum(pair_gradient(loss, *any_pairs) * way)
    np.testing.assert_allclose(slope, (up - down) / (2 * delta), rtol=1e-3)


def test_an_anchor_among_its_positives_costs_next_to_nothing_itself(unbalanced):
    labels, embeddings = unbalanced
    positives, negatives = masks(labels)
    alone = ~positives.any(axis=1, keepdims=True)
    positives = positives | np.eye(labels.size, dtype=bool) & ~alone
    costs = formula(cosines(embeddings), positives, negatives, "O", 0.1)
    loss = PNP(variant="O", temperature=0.1, include_anchor=True)
    np.testing.assert_allclose(loss(labels, embeddings), costs.mean(), rtol=1e-5)


def test_value_worked_by_hand(one_anchor):
    # Far apart for the temperature: no negative is before 0.9, two are before 0.1.
    # 1 - 1 / 3 of one of two positives.
    pairs = one_anchor([0.9, 0.1], [0.5, 0.3])
    np.testing.assert_allclose(PNP().pair_loss(*pairs), [1 / 3], rtol=1e-6)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"variant": "PNP-O"}, "`variant` must be one of 'O', 'Iu', 'Ib', 'Ds' and "),
        (
            {"alpha": 0.0},
            "`alpha` and `base` must be positive. Received",
        ),
        ({"base": -1.0}, "must be positive. Received: alpha=1.0, base=-1.0"),
        ({"temperature": 0.0}, "`temperature` must be positive"),
    ],
)
def test_rejects(bad, message):
    with pytest.raises(ValueError, match=message):
        PNP(**bad)
