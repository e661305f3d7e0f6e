import keras
import numpy as np
import pytest

from kerasdml.losses import Contrastive, MultiSimilarity, Triplet, WeightedPairs
from kerasdml.losses.weighted_pairs import multi_similarity_weights
from kerasdml.ops import pair_weights
from tests.conftest import value_and_gradient


@keras.saving.register_keras_serializable(package="tests")
def by_distance(similarities, positives, negatives):
    return keras.ops.where(positives, 1 - similarities, 1 + similarities)


def weights_of(loss):
    """The weighting that makes `WeightedPairs` of `loss`."""
    return lambda *pairs: keras.ops.abs(pair_weights(loss.pair_loss, *pairs))


def gradient(loss, labels, embeddings):
    return value_and_gradient(lambda x: loss(labels, x), embeddings)


def test_value_worked_by_hand(one_anchor):
    # Weights 0.2 and 0.8 pull, 1.5 and 0.6 push.
    loss = WeightedPairs(weighting=by_distance)
    costs = loss.pair_loss(*one_anchor([0.8, 0.2], [0.5, -0.4]))
    expected = 1.5 * 0.5 + 0.6 * -0.4 - 0.2 * 0.8 - 0.8 * 0.2
    np.testing.assert_allclose(costs, [expected], rtol=1e-6)


def test_only_pairs_count(any_pairs, pair_gradient):
    s, positives, negatives = any_pairs
    slopes = pair_gradient(WeightedPairs(weighting=by_distance), *any_pairs)
    expected = np.where(positives, s - 1, np.where(negatives, s + 1, 0))
    np.testing.assert_allclose(slopes, expected, rtol=1e-6, atol=1e-7)


def test_default_has_the_gradient_of_multi_similarity(unbalanced):
    _, expected = gradient(MultiSimilarity(), *unbalanced)
    _, slopes = gradient(WeightedPairs(), *unbalanced)
    np.testing.assert_allclose(slopes, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("arguments", [{}, {"alpha": 0.5, "beta": 3.0, "base": -0.2}])
def test_weights_of_multi_similarity_are_its_derivatives(any_pairs, arguments):
    expected = pair_weights(MultiSimilarity(**arguments).pair_loss, *any_pairs)
    weights = multi_similarity_weights(*any_pairs, **arguments)
    np.testing.assert_allclose(weights, np.abs(expected), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("loss", [Contrastive(), Triplet(average="anchors")], ids=type)
def test_any_loss_can_be_made_of_its_weights(unbalanced, loss):
    _, expected = gradient(loss, *unbalanced)
    _, slopes = gradient(WeightedPairs(weighting=weights_of(loss)), *unbalanced)
    np.testing.assert_allclose(slopes, expected, rtol=1e-5, atol=1e-7)


def test_a_registered_weighting_is_saved_with_the_loss(unbalanced):
    loss = WeightedPairs(weighting=by_distance)
    config = keras.saving.serialize_keras_object(loss)
    twin = keras.saving.deserialize_keras_object(config)
    assert twin.weighting is by_distance
    np.testing.assert_array_equal(twin(*unbalanced), loss(*unbalanced))


def test_rejects_what_is_no_function():
    with pytest.raises(ValueError, match="`weighting` must be a function of .*'ms'"):
        WeightedPairs(weighting="ms")


@pytest.mark.parametrize("average", ["active", "pairs"])
def test_refuses_an_average_that_means_nothing_here(average):
    with pytest.raises(ValueError, match="`average` must be 'anchors'|no sums over"):
        WeightedPairs(average=average)
