import numpy as np
import pytest

from kerasdml.losses import NCA, SoftNearestNeighbor
from tests.losses.conftest import distances, masks


@pytest.mark.parametrize("temperature", [0.3, 1.0, 10.0])
def test_agrees_with_the_formula(unbalanced, temperature):
    labels, embeddings = unbalanced
    costs = []
    for d, pos, neg in zip(distances(embeddings), *masks(labels), strict=True):
        e = np.exp(-(d**2) / temperature)
        costs.append(-np.log(e[pos].sum() / e[pos | neg].sum()) if pos.any() else 0.0)
    value = SoftNearestNeighbor(temperature=temperature)(labels, embeddings)
    np.testing.assert_allclose(value, np.mean(costs), rtol=1e-5)


def test_value_worked_by_hand():
    # On a line, the positive at 1 and the negatives at 2 and 3, or at 1 and 2 of the
    # inner two: (log(1 + e^-3 + e^-8) + log(1 + e^0 + e^-3)) / 2, with distances 1, 4
    # and 9, and 1, 1 and 4, squared.
    embeddings = np.array([[0.0], [1.0], [2.0], [3.0]], "float32")
    value = SoftNearestNeighbor()(np.array([0, 0, 1, 1]), embeddings)
    np.testing.assert_allclose(value, 0.3833214, rtol=1e-6)


def test_on_unit_vectors_is_nca_at_half_the_temperature(unbalanced):
    labels, embeddings = unbalanced
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    value = SoftNearestNeighbor(temperature=0.4)(labels, unit)
    expected = NCA(temperature=0.2)(labels, unit)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_rejects_a_temperature_that_is_not_positive():
    with pytest.raises(ValueError, match="must be positive. Received: temperature=0"):
        SoftNearestNeighbor(temperature=0)
