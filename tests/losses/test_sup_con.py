import numpy as np
import pytest

from kerasdml.losses import NCA, SupCon
from tests.losses.conftest import cosines, masks


def formula(similarities, positives, negatives, temperature):
    """The paper's L_out, one anchor and one positive at a time, in float64."""
    costs = []
    for s, pos, neg in zip(similarities, positives, negatives, strict=True):
        e = np.exp(s.astype("float64") / temperature)
        terms = [-np.log(e[p] / e[pos | neg].sum()) for p in np.flatnonzero(pos)]
        costs.append(np.mean(terms) if terms else 0.0)
    return np.array(costs)


@pytest.mark.parametrize("temperature", [0.07, 0.5, 2.0])
def test_agrees_with_the_formula(any_pairs, temperature):
    loss = SupCon(temperature=temperature)
    expected = formula(*any_pairs, temperature)
    np.testing.assert_allclose(loss.pair_loss(*any_pairs), expected, rtol=2e-5)


@pytest.mark.parametrize("average, divisor", [("anchors", 13), ("active", 12)])
def test_averages_over_all_anchors_or_those_with_positives(
    unbalanced, average, divisor
):
    labels, embeddings = unbalanced
    expected = np.sum(formula(cosines(embeddings), *masks(labels), 0.1)) / divisor
    value = SupCon(average=average)(labels, embeddings)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_value_worked_by_hand():
    # One positive at s = 1 and two negatives at 0: log(1 + 2 e^-2) at temperature 1/2.
    embeddings = np.eye(2, dtype="float32")[[0, 0, 1, 1]]
    value = SupCon(temperature=0.5)(np.array([0, 0, 1, 1]), embeddings)
    np.testing.assert_allclose(value, 0.2395448, rtol=1e-6)


def test_weights_worked_by_hand(one_anchor, pair_gradient):
    # e^0.3 … e^0.2 are 1.349859, 1.822119, 1.568312, 1.733253, 1.221403, in sum
    # 7.694946, whose logarithm less the mean of 0.3 and 0.6 is 1.590564. Positives
    # weigh 1/2 less their share.
    loss = SupCon(temperature=1.0)
    pairs = one_anchor([0.3, 0.6], [0.45, 0.55, 0.2])
    np.testing.assert_allclose(loss.pair_loss(*pairs), [1.5905637], rtol=1e-6)
    expected = [[-0.3245785, -0.2632058, 0.2038107, 0.2252457, 0.1587279]]
    np.testing.assert_allclose(pair_gradient(loss, *pairs), expected, rtol=1e-5)


def test_lets_go_of_a_positive_much_closer_than_the_others(one_anchor, pair_gradient):
    gradient = pair_gradient(SupCon(), *one_anchor([0.9, 0.2], [0.0]))[0]
    assert gradient[0] > 0 > gradient[1]


def test_the_mean_inside_the_logarithm_is_nca(one_anchor):
    # Equally close positives make the two means the same, and NCA lacks their number.
    pairs = one_anchor([0.4, 0.4, 0.4], [0.45, 0.2])
    expected = NCA(temperature=0.1).pair_loss(*pairs) + np.log(3)
    np.testing.assert_allclose(SupCon().pair_loss(*pairs), expected, rtol=1e-6)


def test_rejects_a_temperature_that_is_not_positive():
    with pytest.raises(ValueError, match="must be positive. Received: temperature=-1"):
        SupCon(temperature=-1)
