import keras
import numpy as np
import pytest

from kerasdml import MetricModel
from kerasdml.losses import Center, NormalizedSoftmax
from kerasdml.step import step

CENTERS = np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0]])
X = np.array([[1.0, 1.0], [3.0, 0.0], [0.0, 0.0], [5.0, 5.0]], "float32")
LABELS = np.array([0, 0, 1, -1])


def with_centers(loss):
    loss.build(2)
    loss.centers.points.assign(CENTERS)
    return loss


def formula(x, labels, centers, rate):
    """Costs and the moved centers, one example and one class at a time."""
    costs = [
        0.5 * sum((a - b) ** 2 for a, b in zip(e, centers[k], strict=True))
        for e, k in zip(x, labels, strict=True)
    ]
    moved = centers.copy()
    for k in range(len(centers)):
        offsets = [
            e - centers[k] for e, label in zip(x, labels, strict=True) if label == k
        ]
        moved[k] += rate * sum(offsets, np.zeros(2)) / (1 + len(offsets))
    return costs, moved


@pytest.mark.parametrize("seed", range(2))
def test_agrees_with_the_formula(seed):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(9, 2)).astype("float32")
    labels = generator.integers(0, 3, size=9)
    loss = with_centers(Center(num_classes=3, rate=0.3, reduction="none"))
    costs, moved = formula(x, labels, CENTERS, 0.3)
    with step.of({}, training=True):
        np.testing.assert_allclose(loss(labels, x), costs, rtol=1e-5)
    np.testing.assert_allclose(loss.centers.points, moved, rtol=1e-5, atol=1e-6)


def test_values_worked_by_hand():
    # Offsets from the centers are (0, 1), (2, 0) and (0, -2), so the costs are 1/2, 2
    # and 2, and 0 without a class. The first center has two, and moves by half of
    # (2, 1) / 3, the second one, and moves by half of (0, -2) / 2; the third stays.
    loss = with_centers(Center(num_classes=3, reduction="none"))
    with step.of({}, training=True):
        np.testing.assert_allclose(loss(LABELS, X), [0.5, 2.0, 2.0, 0.0])
    moved = [[1 + 1 / 3, 1 / 6], [0.0, 1.5], [-1.0, 0.0]]
    np.testing.assert_allclose(loss.centers.points, moved, rtol=1e-6)


def test_centers_stay_where_nothing_is_trained():
    loss = with_centers(Center(num_classes=3))
    loss(LABELS, X)
    np.testing.assert_array_equal(loss.centers.points, CENTERS)


def test_in_fit_the_centers_go_to_the_examples_and_no_optimizer_moves_them():
    x = np.tile(np.array([[1.0, 0.0], [0.0, 1.0]], "float32"), (8, 1))
    labels = np.tile([0, 1], 8)
    embedder = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    loss = NormalizedSoftmax(num_classes=3) + 0.003 * Center(num_classes=3, name="near")
    model = MetricModel(embedder)
    model.compile(keras.optimizers.SGD(0.0), loss=loss)
    model.fit(x, labels, epochs=10, batch_size=16, verbose=0)
    centers = loss.losses[1].centers.points
    # Each of the 10 steps leaves 1 - 8 / 9 / 2 of the way, 0.0028 in all.
    np.testing.assert_allclose(centers[:2], x[:2], atol=0.003)
    np.testing.assert_array_equal(centers[2], [0.0, 0.0])
    assert not any("centers" in w.path for w in model.trainable_weights)


@pytest.mark.parametrize("rate", [0, 1.1])
def test_rejects_a_rate_that_is_no_share(rate):
    with pytest.raises(ValueError, match=r"in \(0, 1\]. Received: rate="):
        Center(num_classes=3, rate=rate)
