import numpy as np
import pytest

from kerasdml.losses import Histogram
from tests.losses.conftest import cosines, masks


def density(similarities, bins):
    nodes = np.linspace(-1, 1, bins + 1)
    pulse = np.maximum(0, 1 - np.abs(similarities[:, None] - nodes) * bins / 2)
    return pulse.sum(axis=0) / max(similarities.size, 1)


def formula(similarities, positives, negatives, bins):
    """The probability, from the histograms of the batch."""
    h, other = (
        density(np.clip(similarities, -1, 1)[mask], bins)
        for mask in (positives, negatives)
    )
    return sum(other[i] * h[: i + 1].sum() for i in range(bins + 1))


@pytest.mark.parametrize("bins", [1, 10, 150])
def test_agrees_with_the_formula(any_pairs, bins):
    s, positives, negatives = any_pairs
    expected = formula(s.astype("float64"), positives, negatives, bins)
    costs = np.asarray(Histogram(bins=bins).pair_loss(*any_pairs))
    np.testing.assert_allclose(costs.mean(), expected, rtol=1e-4)


def test_agrees_with_the_formula_from_embeddings(unbalanced):
    labels, embeddings = unbalanced
    expected = formula(cosines(embeddings), *masks(labels), 150)
    np.testing.assert_allclose(Histogram()(labels, embeddings), expected, rtol=1e-4)


def test_value_and_weights_worked_by_hand(one_anchor, pair_gradient):
    # Two bins, nodes -1, 0, 1. The positive 0.5 is half at 0 and half at 1; so is one
    # negative, and the other is at 0. h- is (0, 3/4, 1/4), up to each node h+ is (0,
    # 1/2, 1): 3/8 + 1/4.
    pairs = one_anchor([0.5], [0.5, 0.0])
    loss = Histogram(bins=2)
    np.testing.assert_allclose(loss.pair_loss(*pairs), [0.625], rtol=1e-6)
    # On by t, the positive takes t from node 0, where h- is 3/4; each negative gains
    # half of what h+ up to node 1 has more than up to node 0.
    weights = pair_gradient(loss, *pairs)
    np.testing.assert_allclose(weights, [[-0.75, 0.25, 0.25]], rtol=1e-5)


def test_separated_classes_cost_nothing():
    x = np.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]], "float32")
    np.testing.assert_allclose(Histogram()(np.array([0, 0, 1, 1]), x), 0.0, atol=1e-6)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"bins": 0}, "`bins` must be an integer of at least 1. Received: bins=0"),
        ({"similarity": "euclidean"}, "`similarity` must be 'cosine'. Received: "),
        ({"average": "active"}, "`average` must be 'anchors'"),
    ],
)
def test_rejects(bad, message):
    with pytest.raises(ValueError, match=message):
        Histogram(**bad)
