import numpy as np
import pytest

from kerasdml import miners
from kerasdml.losses import MultiSimilarity, ProxyAnchor
from tests.losses.conftest import cosines, masks


def formula(similarities, positives, negatives, alpha, beta, base):
    """The paper's loss, one anchor and one pair at a time, in float64."""
    costs = []
    for s, pos, neg in zip(similarities, positives, negatives, strict=True):
        s = s.astype("float64")
        pull = sum(np.exp(-alpha * (s[k] - base)) for k in np.flatnonzero(pos))
        push = sum(np.exp(beta * (s[k] - base)) for k in np.flatnonzero(neg))
        costs.append(np.log1p(pull) / alpha + np.log1p(push) / beta)
    return costs


def mined(similarities, positives, negatives, epsilon):
    """The paper's mining, one pair at a time."""
    keep = np.zeros((2, *similarities.shape), bool)
    for i, s in enumerate(similarities):
        pos, neg = np.flatnonzero(positives[i]), np.flatnonzero(negatives[i])
        if pos.size and neg.size:
            for k in pos:
                keep[0, i, k] = s[k] - epsilon < max(s[neg])
            for k in neg:
                keep[1, i, k] = s[k] + epsilon > min(s[pos])
    return keep


each_setting = pytest.mark.parametrize(
    "alpha, beta, base", [(2, 40, 0.5), (2, 50, 1), (0.1, 1, 0)]
)


@each_setting
def test_agrees_with_the_formula(any_pairs, alpha, beta, base):
    loss = MultiSimilarity(alpha=alpha, beta=beta, base=base)
    expected = formula(*any_pairs, alpha, beta, base)
    np.testing.assert_allclose(loss.pair_loss(*any_pairs), expected, rtol=1e-5)


@each_setting
def test_agrees_with_the_formula_from_embeddings(unbalanced, alpha, beta, base):
    labels, embeddings = unbalanced
    s, pairs = cosines(embeddings), masks(labels)
    value = MultiSimilarity(alpha=alpha, beta=beta, base=base)(labels, embeddings)
    expected = np.mean(formula(s, *pairs, alpha, beta, base))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_agrees_with_the_formula_of_mined_pairs(unbalanced):
    labels, embeddings = unbalanced
    s = cosines(embeddings)
    pairs = mined(s, *masks(labels), 0.1)
    loss = MultiSimilarity(miner=miners.MultiSimilarity())
    expected = np.mean(formula(s, *pairs, 2, 40, 0.5))
    np.testing.assert_allclose(loss(labels, embeddings), expected, rtol=1e-5)


def test_value_worked_by_hand():
    # Two orthogonal classes of two equal embeddings: positives have s = 1 and
    # both negatives s = 0, so with alpha = beta = 1 and base = 0 every anchor
    # pays log(1 + e^-1) + log(1 + 2 e^0) = 0.313262 + 1.098612.
    embeddings = np.eye(2, dtype="float32")[[0, 0, 1, 1]]
    loss = MultiSimilarity(alpha=1.0, beta=1.0, base=0.0)
    value = loss(np.array([0, 0, 1, 1]), embeddings)
    np.testing.assert_allclose(value, 1.411874, rtol=1e-6)


@pytest.mark.parametrize(
    "arguments, expected", [({}, 0.2375330), ({"beta": 50, "base": 1}, 0.2188852)]
)
def test_mined_value_worked_by_hand(at_angles, arguments, expected):
    # At 0, 60 and 90 degrees, of classes 0, 0, 1: the anchor at 0 has its positive at
    # 1/2 and its negative at 0, too easy to keep, and the one at 90 has no positive.
    # The anchor at 60 keeps both: log(1 + e^(-2 (1/2 - base))) / 2
    # + log(1 + e^(beta (cos 30 - base))) / beta = 0.712599 by default, over 3 anchors.
    loss = MultiSimilarity(miner=miners.MultiSimilarity(epsilon=0.1), **arguments)
    value = loss(np.array([0, 0, 1]), at_angles(0, 60, 90))
    np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "miner, expected",
    [
        (miners.MultiSimilarity(epsilon=0.1), [0.0, 0.6622582, 0.6779670, 0.0]),
        (None, [0.4034454, 0.6622582, 0.6779678, 0.3549113]),
    ],
)
def test_costs_worked_by_hand(at_angles, miner, expected):
    loss = MultiSimilarity(miner=miner, reduction="none")
    costs = loss(np.array([0, 0, 1, 1]), at_angles(0, 30, 45, 80))
    np.testing.assert_allclose(costs, expected, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize(
    "arguments, expected",
    [
        # The first of printed sign: a positive at 0.6, log(1 + e^(-2 (0.6 - 1))) / 2,
        # and negatives at 0 and -1, log(1 + e^50 + e^0) / 50 = 1.
        (
            {"base": 1, "negative_sign": "printed"},
            [1.5855503, 2.3855503, 2.8634640, 1.4634640],
        ),
        ({"base": 1}, 0.8245076),
        ({"base": 0.5}, 0.6278501),
    ],
)
def test_signs_worked_by_hand(arguments, expected):
    x = np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]], "float32")
    loss = MultiSimilarity(beta=50, reduction="none", **arguments)
    costs = np.asarray(loss(np.array([0, 0, 1, 1]), x))
    if np.ndim(expected) == 0:
        costs = costs.mean()
    np.testing.assert_allclose(costs, expected, rtol=1e-6)


def test_hybrid_with_proxies(unbalanced):
    labels, x = unbalanced
    pairs = MultiSimilarity(beta=50, base=1, negative_sign="printed")
    proxies = ProxyAnchor(num_classes=12)
    hybrid = pairs + 0.03 * proxies
    hybrid.build(4)
    expected = pairs(labels, x) + 0.03 * proxies(labels, x)
    np.testing.assert_allclose(hybrid(labels, x), expected, rtol=1e-6)


def test_weights_worked_by_hand(one_anchor, pair_gradient):
    # A positive j weighs e^(-2 (s_j - 1/2)) over 1 + the sum of those of all
    # positives, here 1 + 1.491825 + 0.818731; a negative likewise with +40.
    pairs = one_anchor([0.3, 0.6], [0.45, 0.55, 0.2])
    loss = MultiSimilarity(alpha=2, beta=40, base=0.5)
    np.testing.assert_allclose(loss.pair_loss(*pairs), [0.6521313], rtol=1e-6)
    weights = pair_gradient(loss, *pairs)
    expected = [[-0.4506267, -0.2473092, 0.0158762, 0.8668127, 7.2e-7]]
    np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-8)


def test_harder_pairs_weigh_more(one_anchor, pair_gradient):
    pairs = one_anchor([0.9, 0.2], [0.7, -0.3])
    weight = np.abs(pair_gradient(MultiSimilarity(), *pairs))[0]
    assert weight[1] > weight[0], "the less similar positive pulls harder"
    assert weight[2] > weight[3], "the more similar negative pushes harder"


def test_weights_of_an_anchor_add_up_to_less_than_one(any_pairs, pair_gradient):
    _, positives, negatives = any_pairs
    # A sharpness at which float32 still tells a sum of weights from 1.
    weight = np.abs(pair_gradient(MultiSimilarity(alpha=2, beta=5), *any_pairs))
    assert (np.sum(weight * positives, axis=1) < 1).all()
    assert (np.sum(weight * negatives, axis=1) < 1).all()


@pytest.mark.parametrize("bad", [{"alpha": 0.0}, {"beta": -1.0}])
def test_rejects_a_sharpness_that_is_not_positive(bad):
    with pytest.raises(ValueError, match="must be positive. Received: alpha="):
        MultiSimilarity(**bad)


def test_rejects_another_sign():
    with pytest.raises(ValueError, match="must be 'standard' or 'printed'. Received"):
        MultiSimilarity(negative_sign="+")
