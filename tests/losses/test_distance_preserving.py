import keras
import numpy as np
import pytest

from kerasdml import MetricModel, losses, models
from kerasdml.step import step
from tests.conftest import value_and_gradient

TEACHER = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")


def of(teacher, embeddings):
    loss = losses.DistancePreserving()

    def value(e):
        with step.of({"teacher": keras.ops.convert_to_tensor(teacher)}, False):
            return loss(np.zeros(len(teacher), int), e)

    return value_and_gradient(value, np.asarray(embeddings, "float32"))


def test_agrees_with_the_released_formula():
    student = np.random.default_rng(1).normal(size=(8, 2))
    squares = [
        np.sum((x[:, None] - x) ** 2, axis=2)
        for x in (student, TEACHER.astype("float64"))
    ]
    gap = squares[0] / squares[0].sum() - squares[1] / squares[1].sum()
    expected = gap.size * np.linalg.norm(gap)
    np.testing.assert_allclose(of(TEACHER, student)[0], expected, rtol=1e-5)


def test_turned_moved_and_scaled_embeddings_lose_nothing():
    rotation, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 5)))
    value, _ = of(TEACHER, 3 * TEACHER @ rotation - 7)
    assert value < 1e-4


@pytest.mark.parametrize("embeddings", [TEACHER, np.ones((8, 2))])
def test_has_finite_gradients_where_nothing_can_be_gained(embeddings):
    _, gradient = of(TEACHER, embeddings)
    assert np.isfinite(gradient).all()
    value, gradient = of(embeddings, embeddings)
    assert value < 1e-4 and np.isfinite(gradient).all()


def test_a_compressor_learns_to_keep_distances():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(3).normal(size=(64, 6)).astype("float32")
    y = {"label": np.zeros(64, int), "teacher": x}
    compressor = models.Compressor(6, dim=4, hidden=16)
    model = MetricModel(compressor)
    model.compile(keras.optimizers.Adam(0.01), loss=losses.DistancePreserving())
    logs = model.fit(x, y, batch_size=32, epochs=30, verbose=0).history["loss"]
    assert logs[-1] < 0.5 * logs[0]
    assert compressor.output_shape == (None, 4)


def test_a_batch_cannot_be_weighted():
    with pytest.raises(ValueError, match="no cost of its own for each example"):
        losses.DistancePreserving()(np.zeros(8, int), TEACHER, np.ones(8))
