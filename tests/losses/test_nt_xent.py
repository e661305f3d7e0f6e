import numpy as np
import pytest

from kerasdml.losses import NTXent
from tests.losses.conftest import cosines, masks


def formula(similarities, positives, negatives, temperature):
    """The loss of each positive pair, one at a time, by anchor, in float64."""
    costs = []
    for s, pos, neg in zip(similarities, positives, negatives, strict=True):
        e = np.exp(s.astype("float64") / temperature)
        costs.append(
            [-np.log(e[p] / (e[p] + e[neg].sum())) for p in np.flatnonzero(pos)]
        )
    return costs


@pytest.mark.parametrize("temperature", [0.07, 0.5, 2.0])
def test_agrees_with_the_formula(any_pairs, temperature):
    loss = NTXent(temperature=temperature)
    expected = [sum(costs) for costs in formula(*any_pairs, temperature)]
    np.testing.assert_allclose(loss.pair_loss(*any_pairs), expected, rtol=1e-5)


@pytest.mark.parametrize("average", ["pairs", "anchors"])
def test_averages_over_positive_pairs_or_anchors(unbalanced, average):
    labels, embeddings = unbalanced
    costs = np.concatenate(formula(cosines(embeddings), *masks(labels), 0.1))
    expected = np.sum(costs) / {"pairs": 30, "anchors": 13}[average]
    value = NTXent(temperature=0.1, average=average)(labels, embeddings)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_is_simclr_of_two_views():
    # Softmax cross entropy over all but the view itself, the other view its target.
    generator = np.random.default_rng(0)
    views = generator.normal(size=(10, 4)).astype("float32")
    logits = cosines(views) / 0.5
    np.fill_diagonal(logits, -np.inf)
    target = (np.arange(10) + 5) % 10
    expected = np.mean(
        np.log(np.sum(np.exp(logits), axis=1)) - logits[np.arange(10), target]
    )
    value = NTXent(temperature=0.5)(np.tile(np.arange(5), 2), views)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_value_worked_by_hand():
    # Positives at s = 1, both negatives at 0: log(1 + 2 e^-2) at temperature 1/2.
    embeddings = np.eye(2, dtype="float32")[[0, 0, 1, 1]]
    value = NTXent(temperature=0.5)(np.array([0, 0, 1, 1]), embeddings)
    np.testing.assert_allclose(value, 0.2395448, rtol=1e-6)


def test_weights_worked_by_hand(one_anchor, pair_gradient):
    # Of N-pair with one positive: shares e^(s - 0.3) / (1 + the sum over negatives).
    loss = NTXent(temperature=1.0)
    pairs = one_anchor([0.3], [0.45, 0.55, 0.2])
    np.testing.assert_allclose(loss.pair_loss(*pairs), [1.4703361], rtol=1e-6)
    expected = [[-0.7701518, 0.2670455, 0.2951310, 0.2079753]]
    np.testing.assert_allclose(pair_gradient(loss, *pairs), expected, rtol=1e-5)


def test_a_positive_does_not_change_what_another_costs(one_anchor):
    both = one_anchor([0.3, 0.6], [0.45, 0.55, 0.2])
    each = [one_anchor([s], [0.45, 0.55, 0.2]) for s in (0.3, 0.6)]
    loss = NTXent()
    expected = sum(float(loss.pair_loss(*pairs)[0]) for pairs in each)
    np.testing.assert_allclose(loss.pair_loss(*both), [expected], rtol=1e-6)


def test_rejects_a_temperature_that_is_not_positive():
    with pytest.raises(ValueError, match="must be positive. Received: temperature=0"):
        NTXent(temperature=0)
