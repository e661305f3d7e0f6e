import keras
import numpy as np
import pytest

from kerasdml import MetricModel
from kerasdml.losses import DenoisingMultiSimilarity
from kerasdml.references import Source
from kerasdml.step import step
from tests.conftest import value_and_gradient
from tests.losses.conftest import cosines, masks, unbalanced_batch

LABELS = np.array([0, 0, 1, 1])


class Batch(Source):
    def call(self, batch, training=None):
        return batch


def weighted(weights, dim=2, **arguments):
    loss = DenoisingMultiSimilarity(num_samples=len(weights), **arguments)
    loss.build(dim)
    loss.sample_weights.values.assign(weights)
    return loss


def call(loss, labels, embeddings, index):
    with step.of({"index": np.asarray(index)}, training=True):
        return loss(labels, embeddings)


def formula(labels, embeddings, v, alpha, beta, base):
    """The specification's batch loss, one pair at a time, in float64."""
    s, (positives, _) = cosines(embeddings), masks(labels)
    total, n = 0.0, len(labels)
    for i in range(n):
        for j in range(n):
            if positives[i, j]:
                total += (
                    v[i] * v[j] * np.logaddexp(0, -alpha * (s[i, j] - base)) / alpha
                )
            elif i != j:
                total += v[i] * v[j] * np.logaddexp(0, beta * (s[i, j] - base)) / beta
    return total / (n * (n - 1))


def test_value_worked_by_hand(at_angles):
    # The rows of costs of the specification sum to 0.658386, 0.658393, 0.535924 and
    # 1.505532; an anchor's mean is over 3.
    loss = weighted(np.ones(4), reduction="none")
    costs = call(loss, LABELS, at_angles(0, 20, 90, 10), np.arange(4))
    expected = np.array([0.658386, 0.658393, 0.535924, 1.505532]) / 3
    np.testing.assert_allclose(costs, expected, atol=1e-6)


@pytest.mark.parametrize("alpha, beta, base", [(2, 50, 0.5), (1, 10, 0.2)])
def test_agrees_with_the_formula(alpha, beta, base):
    labels, embeddings = unbalanced_batch(0)
    weights = np.random.default_rng(1).random(40)
    index = np.random.default_rng(2).permutation(40)[: len(labels)]
    loss = weighted(weights, dim=4, alpha=alpha, beta=beta, base=base)
    expected = formula(labels, embeddings, weights[index], alpha, beta, base)
    found = call(loss, labels, embeddings, index)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_inside_the_sums_agrees_with_the_formula():
    labels, embeddings = unbalanced_batch(0)
    weights = np.random.default_rng(1).random(13)
    weights[3] = 0.0
    s, (positives, negatives) = cosines(embeddings), masks(labels)
    pull = np.log1p(np.where(positives, np.exp(-2 * (s - 0.5)), 0) @ weights) / 2
    push = np.log1p(np.where(negatives, np.exp(50 * (s - 0.5)), 0) @ weights) / 50
    loss = weighted(weights, dim=4, aggregation="log_sum_exp")
    found = call(loss, labels, embeddings, np.arange(13))
    np.testing.assert_allclose(found, np.mean(weights * (pull + push)), rtol=1e-5)


@pytest.mark.parametrize("aggregation", ["pairs", "log_sum_exp"])
def test_a_sample_without_weight_takes_no_part(at_angles, aggregation):
    loss = weighted(np.array([1, 1, 0, 1]), aggregation=aggregation)
    at = at_angles(0, 20, 15, 40)

    def value(x):
        return call(loss, LABELS, x, np.arange(4))

    _, gradient = value_and_gradient(value, at)
    assert (gradient[2] == 0).all() and (gradient[[0, 1, 3]] != 0).any()
    moved = np.array(at)
    moved[2] = -moved[2]
    np.testing.assert_array_equal(value(moved), value(at))
    nothing = weighted(np.zeros(4), aggregation=aggregation)
    assert call(nothing, LABELS, at, np.arange(4)) == 0


def test_equal_weights_scale_it_by_their_square(at_angles):
    at = at_angles(0, 20, 90, 10)
    whole = call(weighted(np.ones(4)), LABELS, at, np.arange(4))
    part = call(weighted(np.full(4, 0.3)), LABELS, at, np.arange(4))
    np.testing.assert_allclose(part, 0.09 * whole, rtol=1e-5)


@pytest.mark.parametrize("aggregation", ["pairs", "log_sum_exp"])
@pytest.mark.parametrize("index", [4, -1])
def test_an_index_outside_in_a_step_makes_it_nan(at_angles, index, aggregation):
    loss = weighted(np.ones(4), aggregation=aggregation)
    index = keras.ops.convert_to_tensor([0, 1, 2, index])
    with step.of({"index": index}, training=True):
        assert np.isnan(
            loss(keras.ops.convert_to_tensor(LABELS), at_angles(0, 2, 9, 1))
        )


def compiled_model():
    embedder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model = MetricModel(embedder)
    model.compile("sgd", loss=1.0 * DenoisingMultiSimilarity(num_samples=4))
    return model


@pytest.mark.parametrize(
    "index, shown", [([0, 1, 2, 4], "0 … 4"), ([-1, 0, 1, 2], "-1 … 2")]
)
def test_an_index_outside_the_data_set_is_refused_before_training(index, shown):
    y = {"label": LABELS, "index": np.array(index)}
    message = f"position in the training set. Received: {shown} for num_samples=4"
    with pytest.raises(ValueError, match=message):
        compiled_model().fit(np.zeros((4, 3)), y, verbose=0)


def test_a_missing_index_is_refused_before_training():
    with pytest.raises(ValueError, match=r"needs the fields \['index'\]"):
        compiled_model().fit(np.zeros((4, 3)), LABELS, verbose=0)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"alpha": 0.0}, "must be positive. Received: alpha=0.0"),
        ({"beta": -1.0}, "must be positive. Received: alpha=2.0, beta=-1.0"),
        ({"aggregation": "mean"}, "must be 'pairs' or 'log_sum_exp'"),
        ({"num_samples": 0}, "`num_samples` must be at least 1. Received: 0"),
        ({"references": [Batch()]}, "takes no `references`"),
    ],
)
def test_rejects_arguments_out_of_range(bad, message):
    with pytest.raises(ValueError, match=message):
        DenoisingMultiSimilarity(**{"num_samples": 4, **bad})
