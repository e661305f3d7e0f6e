import keras
import numpy as np
import pytest

from kerasdml.losses import LiftedStructure
from tests.conftest import value_and_gradient
from tests.losses.conftest import distances, masks

A = [(0, 0), (0, 1), (3, 0), (3, 1)], [0, 0, 1, 1]
B = [(0, 0), (1, 0), (0, 2), (2, 2), (3, 3)], [0, 0, 1, 1, 2]
C = [(1, 0), (1, 1), (0, 2), (-1, 2)], [0, 0, 1, 1]


def on(batch):
    embeddings, labels = batch
    return np.array(labels), np.array(embeddings, "float32")


def formula(embeddings, labels, margin):
    """The paper's loss over unordered pairs, in float64."""
    d, hinges = distances(embeddings), []
    for i in range(len(labels)):
        for j in range(i + 1, len(labels)):
            ends = [(e, k) for e in (i, j) for k in np.flatnonzero(labels != labels[e])]
            if labels[i] == labels[j] and ends:
                push = np.log(sum(np.exp(margin - d[e, k]) for e, k in ends))
                hinges.append(max(push + d[i, j], 0.0) ** 2)
    return sum(hinges) / (2 * len(hinges))


@pytest.mark.parametrize("margin", [1.0, 0.2, 3.0])
def test_agrees_with_the_formula(unbalanced, margin):
    labels, embeddings = unbalanced
    value = LiftedStructure(margin=margin)(labels, embeddings)
    np.testing.assert_allclose(value, formula(embeddings, labels, margin), rtol=1e-5)


def test_agrees_with_the_formula_on_a_half_circle(pairs, at_angles):
    similarities, positives, _ = pairs
    embeddings = at_angles(*np.degrees(np.arccos(similarities[0])))
    labels = np.argmax(positives | np.eye(13, dtype=bool), axis=1)
    np.testing.assert_allclose(
        LiftedStructure()(labels, embeddings),
        formula(embeddings, labels, 1.0),
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    "batch, expected",
    [
        # All anchors have negatives at 3 and sqrt(10): log(e^-2 + e^(1 - sqrt(10))) is
        # -1.384704, so J = log(2) - 1.384704 + 1 = 0.308444 and the loss J^2 / 2.
        pytest.param(A, 0.0475687519753, id="A"),
        # J_01 = 1.200912 and J_23 = 2.634202: (1.442190 + 6.939020) / 4.
        pytest.param(B, 2.0953023226, id="B"),
        pytest.param(C, 0.8955361508, id="C"),
    ],
)
def test_value_worked_by_hand(batch, expected):
    np.testing.assert_allclose(LiftedStructure()(*on(batch)), expected, rtol=2e-6)


def test_value_on_unit_vectors():
    labels, embeddings = on(C)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    value = LiftedStructure()(labels, embeddings)
    np.testing.assert_allclose(value, 1.6241749010, rtol=2e-6)


def test_weights_worked_by_hand():
    # The pair (0, 1) weighs J / 2. It gives each negative of its ends the share
    # e^(1 - D) / sum: of D_02 = 3 that is 0.270242, of D_03 = sqrt(10) 0.229758. The
    # pair (2, 3) gives the same again. A distance stands twice among the similarities.
    labels, embeddings = on(A)
    _, gradient = value_and_gradient(
        lambda s: keras.ops.mean(LiftedStructure().pair_cost(s, *masks(labels))),
        -distances(embeddings).astype("float32"),
    )
    weights = gradient + gradient.T
    np.testing.assert_allclose(weights[0, 1], -0.15422184, rtol=1e-5)
    np.testing.assert_allclose(weights[0, 2], 2 * 0.04167696, rtol=1e-5)
    np.testing.assert_allclose(weights[0, 3], 2 * 0.03543396, rtol=1e-5)


def test_a_class_far_away_costs_exactly_nothing():
    labels, embeddings = on(A)
    embeddings[labels == 1] += [7.0, 0.0]
    loss = LiftedStructure()
    value, gradient = value_and_gradient(lambda x: loss(labels, x), embeddings)
    assert value == 0 and (gradient == 0).all()


@pytest.mark.parametrize("labels", [[5, 5, 5, 5], [0, 1, 2, 3]])
def test_one_class_or_no_positives_cost_exactly_nothing(labels):
    embeddings = on(B)[1][:4]
    loss = LiftedStructure()
    value, gradient = value_and_gradient(
        lambda x: loss(np.array(labels), x), embeddings
    )
    assert value == 0 and (gradient == 0).all()


def test_depends_on_distances_alone():
    labels, embeddings = on(C)
    expected = LiftedStructure()(labels, embeddings)
    moved = LiftedStructure()(labels, embeddings + np.float32([3, -5]))
    np.testing.assert_allclose(moved, expected, rtol=1e-5)


def test_copies_of_the_batch_far_away_leave_the_mean():
    labels, embeddings = on(B)
    twice = np.concatenate([embeddings, embeddings + 20])
    value = LiftedStructure()(np.concatenate([labels, labels + 9]), twice)
    np.testing.assert_allclose(value, 2.0953023226, rtol=1e-4)


def test_averages_over_anchors_if_asked():
    # Batch B has 2 positive pairs, which count at both ends, and 5 anchors.
    value = LiftedStructure(average="anchors")(*on(B))
    np.testing.assert_allclose(value, 2.0953023226 * 4 / 5, rtol=2e-6)


def test_pairs_that_coincide_have_a_finite_gradient():
    labels, embeddings = on(A)
    embeddings[1] = embeddings[0]
    loss = LiftedStructure(margin=5.0)
    value, gradient = value_and_gradient(lambda x: loss(labels, x), embeddings)
    expected = formula(embeddings, labels, 5.0)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert np.isfinite(gradient).all()


def test_a_miner_may_leave_negatives_to_one_end_of_a_pair():
    # The pair (0, 1) at distance 1, and the one negative of 1 at distance 2, so
    # J = log(e^(1 - 2)) + 1 = 0 and, with margin 2, log(e^(2 - 2)) + 1 = 1.
    s = -np.array([[0.0, 1.0, 9.0], [1.0, 0.0, 2.0], [9.0, 2.0, 0.0]], "float32")
    positives = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]], bool)
    negatives = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 0]], bool)
    loss = LiftedStructure(margin=2.0)
    costs = loss.pair_loss(s, positives, negatives)
    np.testing.assert_allclose(costs, [0.5, 0.5, 0.0], rtol=1e-6)
    counts = loss.pair_count(s, positives, negatives)
    np.testing.assert_array_equal(counts, [1, 1, 0])


def test_refuses_references_beyond_the_batch():
    with pytest.raises(ValueError, match="LiftedStructure compares its references"):
        LiftedStructure(references=[keras.layers.Identity()])
