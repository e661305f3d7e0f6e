import keras
import numpy as np
import pytest

from kerasdml import miners
from kerasdml.losses import CentroidTriplet
from tests.conftest import value_and_gradient


def distance(x, y):
    return np.linalg.norm(x - y)


def angle(x, y):
    return -x @ y / np.linalg.norm(x) / np.linalg.norm(y)


def violations(embeddings, labels, distance):
    """By how much each other class is closer, by anchor, in float64."""
    x, found = embeddings.astype("float64"), []
    for i, label in enumerate(labels):
        rest = np.flatnonzero((labels == label) & (np.arange(labels.size) != i))
        if rest.size:
            own = distance(x[i], x[rest].mean(axis=0))
            classes = np.setdiff1d(labels, label)
            others = [x[labels == k].mean(axis=0) for k in classes]
            found.append([own - distance(x[i], c) for c in others])
    return np.array(found)


@pytest.mark.parametrize(
    "similarity, compare, negatives",
    [("cosine", angle, "all"), ("euclidean", distance, "hard")],
)
def test_agrees_with_the_formula(unbalanced, similarity, compare, negatives):
    labels, embeddings = unbalanced
    hinges = violations(embeddings, labels, compare) + 0.3
    hinges = np.maximum(hinges if negatives == "all" else hinges.max(axis=1), 0)
    count = np.sum(hinges > 0) if negatives == "all" else 12
    loss = CentroidTriplet(margin=0.3, similarity=similarity, negatives=negatives)
    value = loss(labels, embeddings)
    np.testing.assert_allclose(value, np.sum(hinges) / count, rtol=1e-5)


def test_value_worked_by_hand():
    # On a line, class 0 at 0, 2 and 4, class 1 at 6 and 8. The rest of class 0 averages
    # to 3, 2 and 1, and the centroids are at 2 and 7. The anchor at 4 has its own at 3,
    # the other at 3: it pays the margin, 1; that at 6 pays 2 - 4 + 1 < 0, like all
    # others. So it is one triplet that costs 1.
    embeddings = np.array([[0.0], [2.0], [4.0], [6.0], [8.0]], "float32")
    loss = CentroidTriplet(margin=1.0, similarity="euclidean", reduction="none")
    costs = loss(np.array([0, 0, 0, 1, 1]), embeddings)
    np.testing.assert_allclose(costs, [0, 0, 5, 0, 0], rtol=1e-6)


def test_an_example_without_a_class_takes_no_part(unbalanced):
    labels, embeddings = unbalanced
    loss = CentroidTriplet()
    expected = loss(labels, embeddings)
    labels, embeddings = np.append(labels, -1), np.append(embeddings, [[9.0] * 4], 0)
    value, gradient = value_and_gradient(
        lambda x: loss(labels, x), embeddings.astype("float32")
    )
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    assert (gradient[-1] == 0).all()


def test_a_miner_chooses_among_centroids(unbalanced):
    mined = CentroidTriplet(miner=miners.BatchHard(), average="anchors")(*unbalanced)
    hard = CentroidTriplet(negatives="hard", average="anchors")(*unbalanced)
    np.testing.assert_allclose(mined, hard, rtol=1e-6)


def test_refuses_a_miner_that_looks_at_examples():
    with pytest.raises(ValueError, match=r"one that looks at .* Received: miners.Ang"):
        CentroidTriplet(miner=miners.Angular())


def test_refuses_references_beyond_the_batch():
    with pytest.raises(ValueError, match="CentroidTriplet compares its references"):
        CentroidTriplet(references=[keras.layers.Identity()])
