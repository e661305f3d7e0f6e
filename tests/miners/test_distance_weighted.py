import keras
import numpy as np
import pytest

from kerasdml import MetricModel, losses
from kerasdml.miners import DistanceWeighted
from tests.conftest import compiled


def built(dim, **arguments):
    miner = DistanceWeighted(**{"seed": 0, **arguments})
    miner.draws.build(dim)
    return miner


def cosines(distances):
    """Of unit vectors that are so far apart."""
    return (1 - np.square(distances) / 2).astype("float32")


def probabilities(miner, distances, negatives=None):
    similarities = cosines(np.atleast_2d(distances))
    if negatives is None:
        negatives = np.ones(similarities.shape, bool)
    logs = np.asarray(miner.log_weights(similarities, negatives), "float64")
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    "dim, distances, expected",
    [
        # In three dimensions it is 1 / d: 2, 1 and 0.8, of 3.8.
        (3, [0.5, 1.0, 1.25], [0.526316, 0.263158, 0.210526]),
        # In four, d^-2 (1 - d^2 / 4)^(-1/2): 4.131182, 1.154701 and 0.819849.
        (4, [0.5, 1.0, 1.25], [0.676606, 0.189117, 0.134276]),
        (8, [1.0, 1.2, 1.35, 1.39], [0.450981, 0.224530, 0.165983, 0.158507]),
        (128, [0.9, 1.0, 1.2, 1.35], [0.99992, 0.00008, 0, 0]),
    ],
)
def test_probabilities_worked_by_hand(dim, distances, expected):
    found = probabilities(built(dim), distances)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_what_is_closer_than_the_cutoff_counts_as_being_there():
    found = probabilities(built(16), [0.2, 0.5, 0.9])[0]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
    assert found[1] > found[2]


def test_far_ones_are_drawn_only_if_there_are_no_others_and_then_equally():
    miner = built(128)
    distances = [[1.45, 1.3, 1.9], [1.45, 1.7, 1.9]]
    found = probabilities(miner, distances)
    np.testing.assert_allclose(found, [[0, 1, 0], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)
    # The uniform draw is from negatives alone.
    negatives = np.array([[True, True, True], [False, True, True]])
    np.testing.assert_allclose(
        probabilities(miner, distances, negatives)[1], [0, 0.5, 0.5]
    )


def test_rows_of_distant_negatives_do_not_underflow():
    # The log weight at 0.5 in 128 dimensions is 91 above those of the second row:
    # scaled by the largest of all, they are zeros in float32.
    distances = [[0.5, 1.2, 1.3], [1.3, 1.35, 1.39]]
    found = probabilities(built(128), distances)[1]
    alone = probabilities(built(128), distances[1])[0]
    np.testing.assert_allclose(found, alone, rtol=1e-6)
    assert found[0] > 2 * found[2]


def test_draws_with_these_frequencies():
    # Chi-square with 3 degrees of freedom: 16.3 is passed once in a thousand times.
    distances, draws = [1.0, 1.2, 1.35, 1.39], 20_000
    expected = draws * np.array([0.450981, 0.224530, 0.165983, 0.158507])
    similarities = np.tile(cosines(distances), (draws, 1))
    # A fifth column is the positive, a sixth neither.
    similarities = np.pad(similarities, ((0, 0), (0, 2)), constant_values=0.9)
    positives = np.tile([False] * 4 + [True, False], (draws, 1))
    negatives = np.tile([True] * 4 + [False, False], (draws, 1))
    kept, drawn = built(8)(similarities, positives, negatives)
    np.testing.assert_array_equal(kept, positives)
    np.testing.assert_array_equal(np.sum(drawn, axis=1), 1)
    observed = np.sum(drawn, axis=0)
    assert (observed[4:] == 0).all()
    assert np.sum((observed[:4] - expected) ** 2 / expected) < 16.3


def test_second_draws_are_from_the_rest():
    # Of 1/2, 1/4 and 1/4, two distinct draws leave out the first one time in six,
    # 2 (1/4) (1/4) / (3/4): 3333 of 20,000, with a standard deviation of 53.
    distances = np.array([0.6, 1.2, 1.2])
    draws = 20_000
    similarities = np.tile(cosines(distances), (draws, 1))
    negatives = np.ones(similarities.shape, bool)
    _, drawn = built(3, count=2)(similarities, ~negatives, negatives)
    np.testing.assert_array_equal(np.sum(drawn, axis=1), 2)
    left_out = draws - np.sum(drawn, axis=0)[0]
    assert abs(left_out - draws / 6) < 4 * 53


def test_draws_as_many_as_there_are_positives_or_can_be_drawn():
    similarities = np.zeros((4, 6), "float32")
    similarities[2, 3:5] = cosines([1.3, 1.3])
    columns = np.arange(6)
    positives = columns < np.array([[1], [0], [3], [3]])
    negatives = np.tile(columns >= 3, (4, 1))
    negatives[3] = False
    # Orthogonal ones are too far, unless there are no others as in the first row; two
    # of the third row's are closer.
    kept, drawn = built(8)(similarities, positives, negatives)
    np.testing.assert_array_equal(kept, positives)
    np.testing.assert_array_equal(np.sum(drawn, axis=1), [1, 0, 2, 0])
    assert not np.any(np.asarray(drawn) & ~negatives)


@pytest.mark.parametrize("count", [3, 20, 29])  # few are found one by one
def test_many_draws_are_distinct_and_as_many_as_asked(count):
    similarities = np.tile(cosines(np.linspace(1.0, 1.3, 28)), (50, 1))
    negatives = np.ones(similarities.shape, bool)
    _, drawn = built(3, count=count)(similarities, ~negatives, negatives)
    np.testing.assert_array_equal(np.sum(drawn, axis=1), min(count, 28))


def test_draws_anew_and_again_with_the_same_seed():
    similarities = np.tile(cosines([1.0, 1.1, 1.2, 1.3]), (50, 1))
    negatives = np.ones((50, 4), bool)
    miner, twin = built(8, count=1), built(8, count=1)
    first, second = (
        np.asarray(miner(similarities, ~negatives, negatives)[1]) for _ in range(2)
    )
    assert (first != second).any()
    np.testing.assert_array_equal(twin(similarities, ~negatives, negatives)[1], first)


def test_draws_anew_where_it_is_compiled():
    similarities = np.tile(cosines([1.0, 1.1, 1.2, 1.3]), (50, 1))
    negatives = np.ones((50, 4), bool)
    miner = built(8, count=1)
    before = keras.ops.convert_to_numpy(miner.draws.seed_generator.state)

    def draw(state):
        with keras.StatelessScope([(miner.draws.seed_generator.state, state)]):
            return miner(similarities, ~negatives, negatives)[1]

    function = compiled(draw)
    first, second = (np.asarray(function(before + np.uint32(i))) for i in range(2))
    np.testing.assert_array_equal(first.sum(axis=1), 1)
    assert (first != second).any()


def test_a_restored_model_draws_on(tmp_path):
    keras.utils.set_random_seed(0)
    embedder = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
    model = MetricModel(embedder)
    model.compile("adam", loss=losses.Margin(miner=DistanceWeighted()))
    x = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
    labels = np.arange(32) % 8

    def fit(model):
        history = model.fit(x, labels, batch_size=16, shuffle=False, verbose=0)
        return history.history["loss"]

    fit(model)
    model.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras")
    assert twin.loss.miner.get_config() == model.loss.miner.get_config()
    # Which the same draws show.
    np.testing.assert_array_equal(fit(model), fit(twin))


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"cutoff": 0.0}, "above 0 and below `farthest`.*Received: cutoff=0.0"),
        ({"cutoff": 1.4}, "above 0 and below `farthest`.*Received: cutoff=1.4"),
        ({"farthest": 2.1}, "at most 2. Received: cutoff=0.5, farthest=2.1"),
        ({"count": 0}, "`count` must be at least 1, or `None`. Received: count=0"),
    ],
)
def test_rejects_what_is_out_of_range(bad, message):
    with pytest.raises(ValueError, match=message):
        DistanceWeighted(**bad)
