import keras
import numpy as np
import pytest

from kerasdml.losses import NPairs
from tests.conftest import value_and_gradient


def formula(anchors, positives, labels, l2_weight=0.0, mode="mc"):
    """The loss of N pairs of different or repeated classes, in float64."""
    anchors, positives = np.asarray(anchors, float), np.asarray(positives, float)
    costs = []
    for a, p, label in zip(anchors, positives, labels, strict=True):
        excess = [a @ n - a @ p for n in positives[np.asarray(labels) != label]]
        exponentials = np.exp(excess)
        if mode == "mc":
            costs.append(np.log1p(np.sum(exponentials)))
        else:
            costs.append(np.sum(np.log1p(exponentials)))
    lengths = np.mean(np.sum(anchors**2, 1)) + np.mean(np.sum(positives**2, 1))
    return np.mean(costs) + l2_weight / 4 * lengths


def call(loss, anchors, positives, labels=None):
    """`loss` of the batch [anchors, positives]."""
    labels = np.arange(len(anchors)) if labels is None else np.asarray(labels)
    embeddings = np.concatenate([anchors, positives]).astype("float32")
    return loss(np.tile(labels, 2), embeddings)


def random_pairs(count=5, dim=4):
    generator = np.random.default_rng(0)
    return generator.normal(size=(count, dim)), generator.normal(size=(count, dim))


@pytest.mark.parametrize("labels", [[0, 1, 2, 3, 4], [4, 1, 4, 0, 4], [2, 2, 2, 2, 2]])
@pytest.mark.parametrize("l2_weight", [0.0, 0.02])
@pytest.mark.parametrize("mode", ["mc", "ovo"])
def test_agrees_with_the_formula(labels, l2_weight, mode):
    # A repeated class gives pairs in order: first with second, third with fourth; so
    # its pairs must be adjacent for the formula to see the same ones.
    a, p = random_pairs()
    adjacent = np.stack([a, p], axis=1).reshape(10, 4).astype("float32")
    value = NPairs(mode=mode, l2_weight=l2_weight)(np.repeat(labels, 2), adjacent)
    expected = formula(a, p, labels, l2_weight, mode)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7)


def test_agrees_with_the_formula_on_given_pairs(pairs):
    # On a half circle, each anchor with its first positive and all its negatives.
    similarities, positives, negatives = pairs
    first = positives & (np.cumsum(positives, axis=1) == 1)
    expected = [
        sum(np.log1p(np.sum(np.exp(s[n] - s[k]))) for k in np.flatnonzero(p))
        for s, p, n in zip(similarities.astype(float), first, negatives, strict=True)
    ]
    costs = NPairs().pair_loss(similarities, first, negatives)
    np.testing.assert_allclose(costs, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "scale, mc, ovo",
    # log(1 + 2 e^(-scale^2)), or 2 log(1 + e^(-scale^2)), since the other pairs'
    # positives are orthogonal.
    [
        (0, 1.0986122887, 1.3862943611),
        (1, 0.5514447139, 0.6265233750),
        (2, 0.0359762997, 0.0362998558),
    ],
)
def test_value_of_orthogonal_pairs(scale, mc, ovo):
    corners = scale * np.eye(3)
    for mode, expected in [("mc", mc), ("ovo", ovo)]:
        value = call(NPairs(mode=mode, l2_weight=0.0), corners, corners)
        np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_values_worked_by_hand():
    mc, ovo = NPairs(l2_weight=0.0), NPairs(mode="ovo", l2_weight=0.0)
    # log(1 + 2 e^-2 + e^-4), or 2 log(1 + e^-2) + log(1 + e^-4).
    square = [(1, 1), (-1, 1), (-1, -1), (1, -1)]
    np.testing.assert_allclose(call(mc, square, square), 0.2538560221, rtol=1e-6)
    np.testing.assert_allclose(call(ovo, square, square), 0.2720059500, rtol=1e-6)
    a, p = [(1, 0), (0, 1), (1, 1)], [(1, 0.5), (0.2, 1), (0.5, 1.5)]
    np.testing.assert_allclose(call(mc, a, p), 0.8738859362, rtol=1e-6)
    np.testing.assert_allclose(call(ovo, a, p), 1.0461697562, rtol=1e-6)
    # Two pairs: (log(1 + e^(0.2 - 1)) + log(1 + e^(0.5 - 1))) / 2.
    np.testing.assert_allclose(call(mc, a[:2], p[:2]), 0.4225888251, rtol=1e-6)
    np.testing.assert_allclose(call(ovo, a[:2], p[:2]), 0.4225888251, rtol=1e-6)


def test_weights_worked_by_hand(one_anchor, pair_gradient):
    # Shares e^(s - 0.3) / (1 + the sum over the negatives); the positive has their sum.
    pairs = one_anchor([0.3], [0.45, 0.55, 0.2])
    np.testing.assert_allclose(NPairs().pair_loss(*pairs), [1.4703361], rtol=1e-6)
    expected = [[-0.7701518, 0.2670455, 0.2951310, 0.2079753]]
    np.testing.assert_allclose(pair_gradient(NPairs(), *pairs), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "form, of_unit_vectors, of_others",
    # Of lengths 1 and 3: (1 + 9) / 4, / 2, / 1, and (1 + 3) / 2.
    [("quarter", 0.5, 2.5), ("half", 1.0, 5.0), ("whole", 2.0, 10.0), ("length", 1, 2)],
)
def test_each_l2_form_has_its_factor(form, of_unit_vectors, of_others):
    corners = np.eye(3)
    for positives, expected in [(corners, of_unit_vectors), (3 * corners, of_others)]:
        with_term, without = (
            call(NPairs(l2_weight=weight, l2_form=form), corners, positives)
            for weight in (0.02, 0.0)
        )
        np.testing.assert_allclose(with_term - without, 0.02 * expected, rtol=1e-5)


def test_reads_pairs_by_class_wherever_they_stand():
    a, p = (x.astype("float32") for x in random_pairs())
    apart = call(NPairs(), a, p)
    adjacent = np.stack([a, p], axis=1).reshape(10, 4)
    labels = np.repeat(np.arange(5), 2)
    np.testing.assert_allclose(NPairs()(labels, adjacent), apart, rtol=1e-6)


def test_an_example_without_a_partner_takes_no_part():
    a, p = random_pairs()
    batch = np.concatenate([a, p, 7 * a[:3]]).astype("float32")
    # The third of class 0, one alone in its class, and one without a class.
    labels = np.array([0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 5, -1])
    loss = NPairs()
    value, gradient = value_and_gradient(lambda x: loss(labels, x), batch)
    np.testing.assert_allclose(value, formula(a, p, range(5), 0.002), rtol=1e-5)
    assert (gradient[10:] == 0).all() and (gradient[:10] != 0).all()


def test_examples_without_a_class_are_no_pair():
    a, _ = random_pairs()
    assert NPairs()(np.full(5, -1), a.astype("float32")) == 0


def test_one_class_alone_pays_for_its_lengths_alone():
    a, p = np.eye(2), 2 * np.eye(2)
    value = call(NPairs(l2_weight=0.1), a, p, labels=[0, 0])
    np.testing.assert_allclose(value, 0.1 / 4 * (1 + 4), rtol=1e-6)


def test_one_vector_added_to_all_positives_changes_nothing():
    loss = NPairs(l2_weight=0.0)
    a, p = random_pairs()
    shifted = call(loss, a, p + np.array([1.0, -2.0, 0.5, 3.0]))
    np.testing.assert_allclose(shifted, call(loss, a, p), rtol=1e-5)


def test_averages_over_anchors_if_asked():
    a, p = random_pairs()
    loss = NPairs(l2_weight=0.0, average="anchors")
    np.testing.assert_allclose(call(loss, a, p), formula(a, p, range(5)) / 2, rtol=1e-5)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"mode": "all"}, "`mode` must be 'mc' or 'ovo'. Received: mode='all'"),
        ({"l2_form": "tf"}, "`l2_form` must be one of .* Received: l2_form='tf'"),
    ],
)
def test_rejects_names_it_does_not_know(bad, message):
    with pytest.raises(ValueError, match=message):
        NPairs(**bad)


def test_rejects_a_negative_weight():
    with pytest.raises(ValueError, match="must not be negative. Received: l2_weight=-"):
        NPairs(l2_weight=-0.1)


def test_refuses_references_beyond_the_batch():
    with pytest.raises(ValueError, match="NPairs compares its references"):
        NPairs(references=[keras.layers.Identity()])


def test_refuses_an_average_over_active_pairs():
    with pytest.raises(ValueError, match="`average` must be 'pairs' or 'anchors'"):
        NPairs(average="active")
