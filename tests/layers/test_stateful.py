import keras
import numpy as np
import pytest
from keras import ops

from kerasdml import MetricModel, losses, miners, references
from kerasdml.layers import Seed, StatefulLayer


class RandomlyKeepsPairs(miners.Miner):
    """Keeps about half of the positives, and counts how often it was asked."""

    def __init__(self, *, seed=0):
        self.seed = seed
        self.draws = Seed(seed=seed)
        self.counter = Counter(name="counter")
        self.layers = [self.draws, self.counter]

    def __call__(self, similarities, positives, negatives):
        self.counter.count.assign_add(1.0)
        u = keras.random.uniform(
            ops.shape(similarities), seed=self.draws.seed_generator
        )
        return ops.logical_and(positives, u < 0.5), negatives


class Counter(StatefulLayer):
    def build(self, dim):
        self.count = self.add_weight(
            name="count", shape=(), initializer="zeros", trainable=False
        )
        self.built = True


for cls in (RandomlyKeepsPairs, Counter):
    keras.saving.register_keras_serializable(package="tests")(cls)


def metric_model(seed):
    keras.utils.set_random_seed(0)
    embedder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model = MetricModel(embedder)
    loss = losses.Contrastive(miner=RandomlyKeepsPairs(seed=seed))
    model.compile(keras.optimizers.SGD(0.1), loss=loss)
    return model


def state(model):
    return [ops.convert_to_numpy(v) for v in model.variables]


def train(model, epochs=2):
    x = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
    labels = np.tile(np.arange(4), 4)
    model.fit(x, labels, batch_size=8, shuffle=False, epochs=epochs, verbose=0)


def test_a_step_draws_anew_and_remembers():
    model = metric_model(seed=3)
    miner = model.loss.miner
    before = ops.convert_to_numpy(miner.draws.seed_generator.state)
    train(model)
    after = ops.convert_to_numpy(miner.draws.seed_generator.state)
    assert (before != after).any()
    assert float(miner.counter.count) == 4


@pytest.mark.parametrize("file", ["model.keras", "model.weights.h5"])
def test_a_restored_model_goes_on_as_the_one_that_was_saved(file, tmp_path):
    model = metric_model(seed=3)
    train(model)
    if file.endswith(".keras"):
        model.save(tmp_path / file)
        twin = keras.saving.load_model(tmp_path / file)
    else:
        model.save_weights(tmp_path / file)
        twin = metric_model(seed=99)
        twin.load_weights(tmp_path / file)
    assert len(twin.variables) == len(model.variables)
    for _ in range(2):
        for mine, its in zip(state(model), state(twin), strict=True):
            np.testing.assert_array_equal(mine, its)
        train(model), train(twin)


def test_the_same_seed_draws_the_same():
    draws = [
        keras.random.uniform((5,), seed=Seed(seed=seed).seed_generator)
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (np.asarray(draws[0]) != np.asarray(draws[2])).any()


def test_stays_in_float32_under_a_half_precision_policy():
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_float16")
        layer = Counter()
        layer.build(2)
    finally:
        keras.config.set_dtype_policy(before)
    assert layer.count.dtype == "float32" and layer.compute_dtype == "float32"


def test_config_round_trip_leaves_building_to_the_loss():
    layer = Seed(seed=5, name="draws")
    layer.build(2)
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert twin.get_config() == {"seed": 5, "name": "draws"}
    assert not twin.built


@pytest.mark.parametrize(
    "make",
    [
        lambda n: losses.Contrastive(references=[references.MemoryBank(n)]),
        lambda n: losses.DenoisingMultiSimilarity(num_samples=n),
    ],
    ids=["bank", "sample weights"],
)
def test_refuses_a_restored_state_of_another_shape(make, tmp_path):
    def model(n):
        embedder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        model = MetricModel(embedder)
        model.compile("sgd", loss=make(n))
        return model

    model(8).save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ValueError, match=r"was saved with .* of shape \(8,.*\(16,"):
        model(16).load_weights(tmp_path / "model.weights.h5")
