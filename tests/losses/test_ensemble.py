import keras
import numpy as np
import pytest

from kerasdml import MetricModel, losses, models
from kerasdml.losses import MetricLoss
from kerasdml.step import step
from tests.checkpoints import assert_interruption_changes_nothing
from tests.conftest import value_and_gradient

LABELS = np.repeat(np.arange(4), 3)
EMBEDDINGS = np.random.default_rng(0).normal(size=(12, 6)).astype("float32")


class Coordinate(MetricLoss):
    """Costs what one coordinate of the first embedding is."""

    def __init__(self, *, which, **kwargs):
        super().__init__(**kwargs)
        self.which = which

    def costs(self, labels, embeddings):
        return keras.ops.zeros_like(embeddings[:, 0]) + embeddings[0, self.which]


def coordinates(count=2, **arguments):
    """An ensemble whose parts cost what they are told, and a function to train it."""
    parts = [Coordinate(which=i, name=f"part_{i}") for i in range(count)]
    loss = losses.Ensemble(losses=parts, **arguments)
    loss.build(count)

    def trained(*costs):
        with step.of({}, training=True):
            return value_and_gradient(
                lambda e: loss(np.array([0]), e), np.array([costs], "float32")
            )

    return loss, trained


def test_two_steps_worked_by_hand():
    loss, trained = coordinates()
    # Means (2, 4), of mean 3: both parts come as 3, each at weight 1/2.
    value, gradient = trained(2.0, 4.0)
    np.testing.assert_allclose(value, 3.0, rtol=1e-6)
    np.testing.assert_allclose(gradient, [[0.75, 0.375]], rtol=1e-6)
    # Means (3, 4): 3.5 / 3 * 4 and 3.5 / 4 * 4; the means have no gradient.
    value, gradient = trained(4.0, 4.0)
    np.testing.assert_allclose(value, (3.5 / 3 + 3.5 / 4) * 4 / 2, rtol=1e-6)
    np.testing.assert_allclose(gradient, [[3.5 / 6, 3.5 / 8]], rtol=1e-6)
    np.testing.assert_allclose(loss.means.means, [3.0, 4.0])


def test_a_rate_makes_the_means_follow_the_newest():
    loss, trained = coordinates(rate=0.1)
    trained(2.0, 4.0)
    trained(4.0, 4.0)
    np.testing.assert_allclose(loss.means.means, [2.2, 4.0], rtol=1e-6)


def test_the_weights_begin_at_the_prior_and_their_sum_is_held():
    loss, trained = coordinates(count=4, prior=[2, 1, 2, 3])
    roots = [0.4330127, 0.25, 0.4330127, 0.5590170]
    np.testing.assert_allclose(loss.weighting.roots, roots, rtol=1e-6)
    np.testing.assert_allclose(loss.weighting.values, np.array([2, 1, 2, 3]) / 8)
    costs = 1.0, 1.0, 1.0, 1.0
    np.testing.assert_allclose(trained(*costs)[0], 1.0, rtol=1e-5)
    # A sum of 1.1 costs 1e4 * 0.1^2 = 100, beside the weighted sum 1.1.
    loss.weighting.roots.assign(np.sqrt(np.array([2, 1, 2, 3]) / 8 + 0.1 / 4 - 1 / 16))
    np.testing.assert_allclose(trained(*costs)[0], 101.1, rtol=1e-4)
    # None can be switched off: the lowest is 1/16, the highest then 1 - 3/16.
    loss.weighting.roots.assign([0.0, 0.0, 0.0, 0.75**0.5])
    np.testing.assert_allclose(
        loss.weighting.values, [0.0625, 0.0625, 0.0625, 0.8125], rtol=1e-6
    )


def test_a_part_that_costs_nothing_stays_at_nothing():
    _, trained = coordinates()
    for costs in ((0.0, 4.0), (0.0, 2.0), (1.0, 3.0)):
        value, gradient = trained(*costs)
        assert np.isfinite(value) and np.isfinite(gradient).all()
    _, trained = coordinates()
    assert trained(0.0, 0.0)[0] == 0.0


def unit_heads(*heads):
    """Embeddings of heads whose weights are all the same."""
    heads = [np.asarray(head, "float32") / len(heads) ** 0.5 for head in heads]
    return np.concatenate(heads, axis=1)


@pytest.mark.parametrize(
    "heads, expected",
    [
        ([[[1, 0]], [[1, 0]]], 2.0),
        ([[[1, 0]], [[0, 1]]], 2 - 2**0.5),
        ([[[1, 0]], [[-1, 0]]], 0.0),
        ([[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]]], 2 - 2**0.5),
    ],
)
def test_heads_that_agree_cost_most(heads, expected):
    parts = [losses.EmbeddingNorm(name=f"part_{i}") for i in range(len(heads))]
    loss = losses.DiverseEnsemble(losses=parts, diversity=1.0)
    embeddings = unit_heads(*heads)
    loss.build(embeddings.shape[1])
    # A unit vector has the norm 1, whatever its weight.
    value, gradient = value_and_gradient(lambda e: loss(np.array([0]), e), embeddings)
    np.testing.assert_allclose(value, 1.0 + expected, rtol=1e-5)
    assert np.isfinite(gradient).all()


def ensemble_model(heads=2, jit_compile=False, prior=(2, 1)):
    keras.utils.set_random_seed(0)
    features = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, "relu")])
    embedder = models.EnsembleEmbedder(features, heads, dim=3, prior=prior)
    parts = losses.MultiSimilarity(), losses.ProxyNCA(num_classes=4)
    model = MetricModel(embedder, ks=(1,))
    loss = losses.DiverseEnsemble(losses=parts)
    model.compile(keras.optimizers.Adam(0.01), loss=loss, jit_compile=jit_compile)
    return model


def fit(model, epochs, first=0):
    return model.fit(
        EMBEDDINGS,
        LABELS,
        batch_size=6,
        epochs=first + epochs,
        initial_epoch=first,
        shuffle=False,
        verbose=0,
    ).history


def head_weights(model):
    values = model.embedder.get_layer("weighted_heads").values
    return keras.ops.convert_to_numpy(values)


def test_each_head_is_trained_by_its_own_loss():
    model = ensemble_model()
    loss = model.loss
    embeddings = model.embedder.predict(EMBEDDINGS, verbose=0)
    first = losses.MultiSimilarity()(LABELS, embeddings[:, :3])
    second = loss.losses[1](LABELS, keras.ops.convert_to_tensor(embeddings[:, 3:]))
    with step.of({}, training=False) as now:
        loss(LABELS, keras.ops.convert_to_tensor(embeddings))
        found = [now.recorded[part.name] for part in loss.losses]
    np.testing.assert_allclose(found, [first, second], rtol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_weights_and_heads_are_trained_along(jit_compile):
    model = ensemble_model(jit_compile=jit_compile)
    before = head_weights(model)
    np.testing.assert_allclose(before, [2 / 3, 1 / 3], rtol=1e-6)
    logs = fit(model, epochs=8)
    names = [part.name for part in model.loss.losses]
    assert set(logs) == {"loss", *names} and logs["loss"][-1] < logs["loss"][0]
    after = head_weights(model)
    assert np.abs(after - before).max() > 1e-4
    np.testing.assert_allclose(after.sum(), 1.0, atol=0.01)
    # So embeddings are unit vectors, and an evaluation does not change a thing.
    lengths = np.linalg.norm(model.embedder.predict(EMBEDDINGS, verbose=0), axis=1)
    np.testing.assert_allclose(lengths, 1.0, atol=0.005)
    means = keras.ops.convert_to_numpy(model.loss.means.means)
    model.evaluate(EMBEDDINGS, LABELS, loss=True, verbose=0)
    np.testing.assert_array_equal(model.loss.means.means, means)


def shared_model():
    keras.utils.set_random_seed(0)
    embedder = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    parts = losses.MultiSimilarity(), losses.ProxyNCA(num_classes=4)
    model = MetricModel(embedder)
    model.compile("adam", loss=losses.Ensemble(losses=parts, rate=0.1))
    return model


def batch(step):
    rows = np.arange(6 * step, 6 * step + 6) % 12
    return EMBEDDINGS[rows], LABELS[rows]


@pytest.mark.parametrize(
    "make_model, weights", [(ensemble_model, False), (shared_model, True)]
)
def test_an_interruption_changes_nothing(make_model, weights):
    assert_interruption_changes_nothing(make_model, batch, weights=weights)


def test_rejects_embeddings_that_do_not_divide_into_heads():
    with pytest.raises(ValueError, match="a multiple of 2. Received: size 3"):
        ensemble_model(heads=1, prior=None)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"prior": [1.0]}, "`prior` must be 2 positive numbers"),
        ({"prior": [1.0, 0.0]}, "`prior` must be 2 positive numbers"),
        ({"prior": [9.0, 1.0]}, "below the share that `prior` gives each"),
        ({"floor": 1.0}, "below the share that `prior` gives each"),
        ({"penalty": -1.0}, "`penalty` must not be negative"),
        ({"rate": 0.0}, r"`rate` must be in \(0, 1\]"),
        ({"losses": []}, "must be one or more losses"),
    ],
)
def test_rejects_arguments_out_of_range(arguments, message):
    parts = losses.Contrastive(), losses.MultiSimilarity()
    with pytest.raises(ValueError, match=message):
        losses.Ensemble(**{"losses": parts, **arguments})


def test_rejects_a_negative_diversity():
    with pytest.raises(ValueError, match="`diversity` must not be negative"):
        losses.DiverseEnsemble(losses=[losses.Contrastive()], diversity=-1.0)


def test_an_ensemble_in_a_sum_stays_one_part():
    parts = losses.Contrastive(), losses.MultiSimilarity()
    ensemble = losses.Ensemble(losses=parts)
    total = ensemble + 0.1 * losses.EmbeddingNorm()
    assert total.losses[0] is ensemble and len(total.losses) == 2
