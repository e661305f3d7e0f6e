import keras
import numpy as np
import pytest
from keras import ops

import kerasdml
from kerasdml import losses, miners
from kerasdml.models import HardSampleGeneration
from tests.checkpoints import assert_interruption_changes_nothing

CLASSES = 4
SIZES = {"pair_units": [8], "negative_units": [8], "discriminator_units": [8]}
RATES = {"optimizer": 0.1, "generator_optimizer": 0.1, "discriminator_optimizer": 0.1}


def batch(step):
    rng = np.random.default_rng(step)
    labels = np.tile(np.arange(CLASSES), 4)
    x = np.random.default_rng(9).normal(size=(CLASSES, 6))[labels]
    return (x + rng.normal(size=x.shape)).astype("float32"), labels


def embedder():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="relu", name="features"),
            keras.layers.Dense(3, name="embedding"),
            kerasdml.layers.L2Normalization(),
        ]
    )


def small(loss=None, rates=RATES, jit_compile=None, **arguments):
    """A model whose steps, but for those of XLA, are not worth compiling."""
    arguments = {**SIZES, "warmup_steps": 0, "seed": 1, **arguments}
    model = HardSampleGeneration(embedder(), CLASSES, **arguments, ks=(1,))
    optimizers = {name: keras.optimizers.SGD(rate) for name, rate in rates.items()}
    loss = loss or losses.Triplet()
    how = {"run_eagerly": True} if jit_compile is None else {"jit_compile": jit_compile}
    model.compile(loss=loss, **how, **optimizers)
    return model


def with_adam():
    """What the checkpoint test trains, in two processes."""
    arguments = {**SIZES, "warmup_steps": 2, "seed": 1, "ks": (1,)}
    model = HardSampleGeneration(embedder(), CLASSES, **arguments)
    loss = losses.Triplet(miner=miners.DistanceWeighted(seed=0))
    model.compile(keras.optimizers.Adam(0.01), loss=loss, jit_compile=False)
    return model


def trained(model, steps=1):
    for step in range(steps):
        model.train_on_batch(*batch(step))
    return model


def weights(part):
    return [ops.convert_to_numpy(w) for w in part.trainable_variables]


def assert_equal(some, others, rtol=1e-5, atol=1e-7):
    for a, b in zip(some, others, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def moved(some, others):
    return [bool((a != b).any()) for a, b in zip(some, others, strict=True)]


def parts(model):
    generators = [model.pair_generator, model.negative_generator]
    return [model.embedder, *generators, model.discriminator]


def test_an_interruption_changes_nothing():
    assert_interruption_changes_nothing(with_adam, batch)


@pytest.mark.parametrize(
    "optimizer, own", list(zip(RATES, [[0], [1, 2], [3]], strict=True))
)
def test_an_optimizer_trains_its_part_alone(optimizer, own):
    model = small(rates={**dict.fromkeys(RATES, 0.0), optimizer: 0.1})
    before = [weights(part) for part in parts(model)]
    trained(model, steps=2)
    for i, part in enumerate(parts(model)):
        assert any(moved(weights(part), before[i])) == (i in own), part.name


def test_the_embedder_pays_for_nothing_but_its_loss():
    plain = kerasdml.MetricModel(embedder(), ks=(1,))
    rate = keras.optimizers.SGD(0.1)
    plain.compile(rate, loss=losses.Triplet(), run_eagerly=True)
    model = small(synthetic_share=0.0)
    assert_equal(weights(trained(model, 3).embedder), weights(trained(plain, 3)))


def test_in_the_warm_up_the_embedder_sees_no_made_triplets():
    plain, late = small(synthetic_share=0.0), small(synthetic_share=1.0, warmup_steps=2)
    assert_equal(*(weights(trained(x, 2).embedder) for x in (plain, late)))
    assert any(moved(*(weights(trained(x).embedder) for x in (plain, late))))


def test_generators_do_not_pay_for_the_embedder_nor_the_discriminator_for_them():
    some, others = small(synthetic_share=0.0), small(synthetic_share=1.0)
    trained(some), trained(others)
    for a, b in zip(parts(some)[1:], parts(others)[1:], strict=True):
        assert_equal(weights(a), weights(b))
    others = trained(small(synthetic_share=0.0, adversarial_weight=3.0))
    assert_equal(weights(some.discriminator), weights(others.discriminator))
    assert any(moved(weights(some.pair_generator), weights(others.pair_generator)))


@pytest.mark.parametrize("through", [False, True])
def test_made_triplets_train_what_computes_features_only_if_told_to(through):
    model = small(synthetic_share=1.0, backprop_through_synthetic=through)
    before = weights(model.embedder)
    kernels = moved(weights(trained(model).embedder), before)[::2]
    assert kernels == [through, True]


def test_a_discriminator_that_knows_nothing_costs_the_log_of_all_it_tells_apart():
    model = small(rates=dict.fromkeys(RATES, 0.0), reverse_weight=0.0)
    for weight in model.discriminator.trainable_variables:
        weight.assign(np.zeros(weight.shape))
    logs = model.train_on_batch(*batch(0), return_dict=True)
    # And generators that have not learned leave alone what they are given.
    for name in ("discriminator_loss", "pair_loss", "negative_loss"):
        np.testing.assert_allclose(logs[name], np.log(CLASSES + 1), rtol=1e-5)


def test_the_smaller_the_costs_the_harder_the_triplets_and_the_more_they_count():
    model = small(alpha=7.0, beta=2.0)
    assert [float(x) for x in model._schedule()] == [1.0, 0.0], "before the first step"
    model.progress.updated(np.array([7.0, 4.0], "float32"), training=True)
    found = [float(x) for x in model._schedule()]
    np.testing.assert_allclose(found, [0.3678794, 1 - 0.6065307], rtol=1e-6)
    model.progress.means.assign([0.0, 0.0])
    assert [float(x) for x in model._schedule()] == [0.0, 1.0]


@pytest.mark.parametrize("miner", [miners.BatchHard(), miners.SemiHard()])
def test_triplets_are_drawn_from_the_pairs_that_the_miner_leaves(miner):
    model = small(losses.Triplet(miner=miner))
    x, labels = batch(0)
    features, embeddings = model(x, training=True)
    drawn = model._drawn(features, embeddings, ops.convert_to_tensor(labels))
    z = ops.convert_to_numpy(embeddings)
    same = labels[:, None] == labels
    positives, negatives = same & ~np.eye(len(x), dtype=bool), ~same
    s = (z @ z.T).astype("float32")
    kept = [ops.convert_to_numpy(k) for k in miner(s, positives, negatives)]
    assert ops.convert_to_numpy(drawn.some).any()
    for i in np.flatnonzero(drawn.some):
        for mask, embedding in zip(kept, drawn.embeddings[1:], strict=True):
            among = np.abs(z[mask[i]] - ops.convert_to_numpy(embedding)[i]).sum(axis=1)
            assert among.min() == 0


@pytest.mark.parametrize(
    "loss",
    [losses.Triplet(average="active"), losses.MultiSimilarity()],
    ids=type,
)
def test_compiled_by_xla_it_is_the_same(loss):
    # XLA draws other random numbers: one positive and one negative are left.
    loss.miner = miners.BatchHard()
    ended = []
    for jit_compile in (None, True):
        model = small(loss, jit_compile=jit_compile)
        # In a first step rho is 1, where rounding decides about the slack.
        model.progress.updated(np.array([0.05, 4.0], "float32"), training=True)
        ended.append([w for part in parts(trained(model, 2)) for w in weights(part)])
    assert_equal(*ended, rtol=1e-3, atol=1e-5)


def test_a_batch_without_triplets_teaches_generators_nothing():
    model = small()
    before = [weights(part) for part in parts(model)]
    x, _ = batch(0)
    model.train_on_batch(x[:CLASSES], np.arange(CLASSES))
    model.train_on_batch(x, np.full(len(x), -1))
    for part, old in zip(parts(model), before, strict=True):
        assert_equal(weights(part), old)


def test_evaluation_changes_nothing_and_prediction_gives_embeddings():
    model = trained(small())
    state = [*model.weights, model.draws.seed_generator.state]
    before = [ops.convert_to_numpy(v) for v in state]
    x, labels = batch(0)
    logs = model.evaluate(x, labels, loss=True, return_dict=True, verbose=0)
    assert logs.keys() >= {"loss", "recall_at_1"} and np.isfinite(logs["loss"])
    embeddings = model.predict(x, verbose=0)
    assert_equal(embeddings, model.embedder.predict(x, verbose=0))
    assert_equal([ops.convert_to_numpy(v) for v in state], before)


def test_labels_it_has_no_class_for_are_refused():
    x, labels = batch(0)
    with pytest.raises(ValueError, match="must be 0 … 3 for `num_classes=4`"):
        small().fit(x, labels + 1, verbose=0)
    model = small()
    # In a compiled step, where labels cannot be looked at.
    unknown = ops.convert_to_tensor(labels + 1)
    assert np.isnan(model.compute_loss(x, unknown, model(x, training=True)))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"alpha": 0.0}, "`alpha` must be positive. Received: alpha=0.0"),
        ({"stretch_weight": -1.0}, "`stretch_weight` must not be negative"),
        ({"synthetic_share": 1.5}, "`synthetic_share` must be from 0 to 1, or None"),
        ({"stretch_limit": 0.5}, "`stretch_limit` must be at least 1, or None"),
        ({"rate": 0.0}, r"`rate` must be in \(0, 1\]"),
        ({"pair_units": []}, "`pair_units` must be one or more sizes of at least 1"),
        ({"features": "dense"}, "`features` must name a layer of the embedder"),
    ],
)
def test_rejects(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(**arguments)


@pytest.mark.parametrize(
    "loss",
    ["mse", losses.ProxyNCA(num_classes=4), losses.SupCon() + losses.Contrastive()],
    ids=lambda x: getattr(x, "name", x),
)
def test_rejects_a_loss_that_is_none_of_pairs(loss):
    with pytest.raises(ValueError, match="`loss` must be one of `kerasdml.losses`"):
        small(loss)
