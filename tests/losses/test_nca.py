import numpy as np
import pytest

from kerasdml.losses import NCA
from tests.losses.conftest import distances, masks


def formula(similarities, positives, negatives, temperature):
    """Minus the log-probability of a neighbour of the class, in float64."""
    costs = []
    for s, pos, neg in zip(similarities, positives, negatives, strict=True):
        e = np.exp(s.astype("float64") / temperature)
        costs.append(-np.log(e[pos].sum() / e[pos | neg].sum()) if pos.any() else 0.0)
    return np.array(costs)


@pytest.mark.parametrize("temperature", [0.05, 0.5, 2.0])
def test_agrees_with_the_formula(any_pairs, temperature):
    loss = NCA(temperature=temperature)
    expected = formula(*any_pairs, temperature)
    np.testing.assert_allclose(loss.pair_loss(*any_pairs), expected, rtol=2e-5)


def test_is_the_original_on_squared_distances_of_unit_vectors(unbalanced):
    labels, embeddings = unbalanced
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    expected = np.mean(formula(-(distances(unit) ** 2), *masks(labels), 1.0))
    value = NCA(temperature=0.5)(labels, embeddings)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_value_worked_by_hand():
    # One positive at s = 1 and two negatives at 0: log(1 + 2 e^-2) at temperature 1/2.
    embeddings = np.eye(2, dtype="float32")[[0, 0, 1, 1]]
    value = NCA(temperature=0.5)(np.array([0, 0, 1, 1]), embeddings)
    np.testing.assert_allclose(value, 0.2395448, rtol=1e-6)


def test_weights_worked_by_hand(one_anchor, pair_gradient):
    # e^0.3 … e^0.2 are 1.349859, 1.822119, 1.568312, 1.733253, 1.221403: of the sum
    # 7.694946 positives have 3.171978. A positive weighs its share of the latter less
    # its share of the former.
    loss = NCA(temperature=1.0)
    pairs = one_anchor([0.3, 0.6], [0.45, 0.55, 0.2])
    np.testing.assert_allclose(loss.pair_loss(*pairs), [0.8862084], rtol=1e-6)
    expected = [[-0.2501360, -0.3376483, 0.2038107, 0.2252457, 0.1587279]]
    np.testing.assert_allclose(pair_gradient(loss, *pairs), expected, rtol=1e-5)


def test_rejects_a_temperature_that_is_not_positive():
    with pytest.raises(ValueError, match="must be positive. Received: temperature=0"):
        NCA(temperature=0.0)
