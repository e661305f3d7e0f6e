import keras
import numpy as np
import pytest
from keras import ops

from kerasdml import MetricModel, losses
from kerasdml.references import DenselyAnchored
from tests.checkpoints import assert_interruption_changes_nothing
from tests.conftest import value_and_gradient
from tests.references.batches import batch, called, state, units


def source_of(num_classes=2, dim=3, **arguments):
    arguments = {"top_k": 1, "copies": 1, "seed": 0} | arguments
    source = DenselyAnchored(num_classes=num_classes, **arguments)
    source.build(dim)
    return source


def test_scales_the_channel_that_is_most_often_the_largest():
    # (0.6, 0.8 * 1.01, 0) over its length, 1.0064... : worked by hand.
    source = source_of(scale=(1.01, 1.01), shift=0.0)
    found = called(source, [[0.6, 0.8, 0.0]], [1])
    np.testing.assert_allclose(found.embeddings, [[0.5961776, 0.8028526, 0]], rtol=1e-6)
    counts = ops.convert_to_numpy(source.frequencies.counts)
    np.testing.assert_array_equal(counts, [[0, 0, 0], [0, 1, 0], [0, 0, 0]])


def test_shifts_by_a_difference_within_the_class():
    x = units(2, 3)
    source = source_of(copies=40, scale=0.0, shift=1.0, normalize=False)
    found = called(source, x, [0, 0]).embeddings.reshape(40, 2, 3)[:, 1]
    differences = np.stack([x[0], 2 * x[1] - x[0]])
    near = np.abs(found[:, None] - differences).max(2) < 1e-6
    assert near.any(1).all() and near.any(0).all(), "each copy, and each difference"


def test_copies_come_whole_and_in_order():
    x, labels = units(4, 3), [0, 1, 1, -1]
    found = called(source_of(copies=3), x, labels)
    np.testing.assert_array_equal(found.labels, labels * 3)
    np.testing.assert_array_equal(found.copy_of, [0, 1, 2, 3] * 3)
    np.testing.assert_allclose(found.embeddings, np.tile(x, (3, 1)), atol=0.04)
    still = source_of(copies=3, scale=0.0, shift=0.0, normalize=False)
    np.testing.assert_array_equal(
        called(still, x, labels).embeddings, np.tile(x, (3, 1))
    )


def test_stays_within_its_bound():
    x, labels = units(64, 8), np.repeat(np.arange(16), 4)
    source = source_of(
        16, 8, copies=16, top_k=4, scale=0.1, shift=0.05, normalize=False
    )
    called(source, x, labels)
    found = called(source, x, labels).embeddings.reshape(16, 64, 8)
    lengths = np.linalg.norm(found - x, axis=2)
    assert 0.02 < lengths.max() <= 0.1 + 2 * 0.05


def test_a_lone_example_of_a_class_is_only_scaled():
    x = units(3, 3)
    source = source_of(3, scale=0.0, shift=1.0, normalize=False)
    np.testing.assert_array_equal(called(source, x, [0, 1, -1]).embeddings, x)
    assert not ops.convert_to_numpy(source.bank.bank).any()


@pytest.mark.parametrize("detach", [False, True])
def test_the_gradient_is_that_of_scaling_or_none(detach):
    x = units(4, 3)
    source = source_of(copies=2, scale=0.5, shift=0.0, normalize=False, detach=detach)
    draws = ops.convert_to_numpy(source.seed_generator.state)

    def total(x):
        if keras.backend.backend() != "jax":
            source.seed_generator.state.assign(draws)
        rows = batch(np.zeros((4, 3)), [0, 0, 1, 1])
        return ops.sum(source(rows._replace(embeddings=x), training=True).embeddings)

    value, gradient = value_and_gradient(total, x)
    if detach:
        assert not gradient.any()
    else:
        # One channel of each class is scaled, the others are kept, in both copies.
        assert ((gradient == 2.0).sum(axis=1) == 2).all()
        np.testing.assert_allclose(np.sum(gradient * x), value, rtol=1e-5)


def test_a_class_outside_makes_the_loss_nan_and_is_refused_where_it_can_be_seen():
    assert np.isnan(called(source_of(), units(2, 3), [0, 2]).embeddings).all()
    loss = losses.Contrastive(references=[source_of(2)])
    with pytest.raises(ValueError, match=r"Labels must be 0 … 1 for `num_classes=2`"):
        loss.check_labels(np.array([0, 2]))


def test_no_copies_are_the_plain_loss_bit_for_bit():
    x, labels = units(12, 5), np.repeat(np.arange(4), 3)
    source = DenselyAnchored(num_classes=4, copies=0)
    loss = losses.MultiSimilarity(references=[source])
    loss.build(5)
    np.testing.assert_array_equal(loss(labels, x), losses.MultiSimilarity()(labels, x))


def make_model(optimizer="adam", jit_compile="auto"):
    keras.utils.set_random_seed(0)
    embedder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6)])
    model = MetricModel(embedder, ks=(1,))
    source = DenselyAnchored(num_classes=3, bank_size=3, decay=0.9, seed=5)
    loss = losses.MultiSimilarity(references=[source])
    model.compile(optimizer, loss=loss, jit_compile=jit_compile)
    return model


def training_batch(step):
    rng = np.random.default_rng(step)
    return rng.normal(size=(9, 4)).astype("float32"), rng.integers(0, 3, 9)


@pytest.mark.parametrize("weights", [False, True])
def test_an_interruption_changes_nothing(weights):
    assert_interruption_changes_nothing(make_model, training_batch, weights=weights)


def test_evaluation_is_the_plain_loss_and_changes_nothing():
    model, (x, labels) = make_model(), training_batch(0)
    model.train_on_batch(x, labels)
    before = state(model.attached)
    plain = losses.MultiSimilarity()(labels, model.embedder(x))
    found = model.evaluate(x, labels, batch_size=9, loss=True, verbose=0, return_dict=1)
    np.testing.assert_allclose(found["loss"], plain, rtol=1e-5)
    for old, new in zip(before, state(model.attached), strict=True):
        np.testing.assert_array_equal(old, new)


def test_xla_agrees():
    models = [make_model("sgd", jit_compile=jit) for jit in (False, True)]
    for i in range(3):
        for model in models:
            model.train_on_batch(*training_batch(i))
    for part in "attached", "embedder":
        one, other = (state(getattr(model, part)) for model in models)
        for x, y in zip(one, other, strict=True):
            np.testing.assert_allclose(x, y, atol=1e-3)  # which beta magnifies


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"copies": -1}, "`copies` must be an integer of at least 0"),
        ({"top_k": 0}, "`top_k` must be an integer of at least 1"),
        ({"bank_size": 0}, "`bank_size` must be an integer of at least 1"),
        ({"scale": 1.0}, "`scale` must be a number r in"),
        ({"scale": (2.0, 0.5)}, "`scale` must be a number r in"),
        ({"shift": -0.1}, "`shift` must be at least 0"),
        ({"decay": 0.0}, "`decay` in"),
        ({"num_classes": 1}, "`num_classes` must be an integer of at least 2"),
    ],
)
def test_rejects_what_it_cannot_do(bad, message):
    with pytest.raises(ValueError, match=message):
        DenselyAnchored(**({"num_classes": 2} | bad))


def test_rejects_more_channels_than_there_are():
    with pytest.raises(ValueError, match="`top_k` must not be larger than the embedd"):
        DenselyAnchored(num_classes=2, top_k=4).build(3)
