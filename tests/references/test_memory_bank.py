import keras
import numpy as np
import pytest
from keras import ops

import kerasdml
from kerasdml import MetricModel, losses, miners
from kerasdml.references import MemoryBank, References
from kerasdml.step import step
from tests.checkpoints import assert_interruption_changes_nothing
from tests.conftest import compiled_value_and_gradient, value_and_gradient


def batch_of(embeddings, labels):
    return References(
        ops.convert_to_tensor(np.array(embeddings, "float32")),
        ops.convert_to_tensor(np.array(labels)),
        ops.arange(len(labels), dtype="int32"),
    )


def bank_of(size, dim=1, **arguments):
    bank = MemoryBank(size, **arguments)
    bank.build(dim)
    return bank


def after(bank, *batches, training=True):
    """What is in the bank after batches of embeddings (n, 1) and their labels."""
    for labels in batches:
        bank(batch_of([[10.0 * x] for x in labels], labels), training=training)
    embeddings, kept = (ops.convert_to_numpy(x) for x in (bank.embeddings, bank.labels))
    filled = kept != -1
    np.testing.assert_array_equal(embeddings[:, 0], np.where(filled, 10.0 * kept, 0.0))
    return kept.tolist()


# --- what is in it ---


def test_the_newest_take_the_place_of_the_oldest():
    assert after(bank_of(5), [1, 2]) == [1, 2, -1, -1, -1]
    assert after(bank_of(5), [1, 2], [3, 4]) == [1, 2, 3, 4, -1]
    assert after(bank_of(5), [1, 2], [3, 4], [5, 6]) == [6, 2, 3, 4, 5]
    assert after(bank_of(5), [1, 2], [3, 4], [5, 6], [7, 8, 9, 10, 11]) == [
        *[11, 7, 8, 9, 10]
    ]


def test_a_batch_meets_those_before_it_and_not_itself():
    bank = bank_of(3)
    seen = [
        ops.convert_to_numpy(bank(batch_of([[1.0], [2.0]], x), training=True).labels)
        for x in ([1, 2], [3, 4], [5, 6])
    ]
    np.testing.assert_array_equal(seen, [[-1, -1, -1], [1, 2, -1], [4, 2, 3]])


def test_warm_up_remembers_nothing():
    bank = bank_of(4, warm_up=2)
    assert after(bank, [1, 2], [3, 4]) == [-1] * 4
    assert after(bank, [5, 6]) == [5, 6, -1, -1]
    assert after(bank, [7, 8]) == [5, 6, 7, 8]


def test_evaluation_neither_reads_nor_writes():
    bank = bank_of(4)
    assert after(bank, [1, 2], training=False) == [-1] * 4
    after(bank, [1, 2])
    found = bank(batch_of([[3.0]], [3]), training=False)
    assert [len(x) for x in found] == [0, 0, 0]
    assert after(bank) == [1, 2, -1, -1]


# --- what a loss makes of it ---

LABELS = np.array([0, 0, 1, 1, 2])
MASKED = {"miner": miners.MultiSimilarity()}
POSSIBLE = [
    losses.Contrastive,
    losses.MultiSimilarity,
    lambda **x: losses.MultiSimilarity(**MASKED, **x),
    lambda **x: losses.MultiSimilarity(row_blocks=2, **x),
    lambda **x: losses.Triplet(negatives="semi_hard", **x),
    losses.SupCon,
    losses.Margin,
    losses.FastAP,
]


@pytest.mark.parametrize("make", POSSIBLE)
def test_past_batches_are_columns_without_a_gradient(make):
    # As if they were further examples of the batch that are no anchors and constant.
    rng = np.random.default_rng(0)
    past, now = rng.normal(size=(2, 5, 4)).astype("float32")
    bank = MemoryBank(7)
    loss = make(references=[bank], reduction="none")
    loss.build(4)
    with step.of({}, training=True):
        loss(LABELS, past)

    plain = make(reduction="none")
    plain.build(4)
    kept = np.concatenate([past, np.zeros((2, 4), "float32")])
    columns = References(kept, np.append(LABELS, [-1, -1]), np.full(7, -1, "int32"))

    def expected(x):
        own = References(x, LABELS, np.arange(5, dtype="int32"))
        both = References(*(ops.concatenate(y) for y in zip(own, columns, strict=True)))
        return ops.sum(plain.cost(own, both))

    def found(x):
        bank.position.assign(5)
        bank.embeddings.assign(kept)
        bank.labels.assign(columns.labels)
        with step.of({}, training=True):
            return ops.sum(loss.costs(ops.convert_to_tensor(LABELS), x))

    with step.of({}, training=True):
        want = value_and_gradient(expected, now)
    got = value_and_gradient(found, now)
    for a, b in zip(got, want, strict=True):
        assert np.any(b)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_an_empty_bank_is_the_plain_loss():
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    loss, plain = losses.SupCon(references=[MemoryBank(8)]), losses.SupCon()
    loss.build(4)
    with step.of({}, training=True):
        np.testing.assert_allclose(loss(LABELS, x), plain(LABELS, x), rtol=1e-6)
    np.testing.assert_array_equal(loss(LABELS, x), plain(LABELS, x))


def test_remembers_tags():
    tags = np.array([[1, 0, 1], [1, 0, 1], [0, 1, 0]], "float32")
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    bank = MemoryBank(4, num_tags=3)
    loss = losses.Contrastive(references=[bank])
    loss.build(4)
    with step.of({}, training=True):
        first = loss(tags, x)
    np.testing.assert_array_equal(bank.labels, [*tags, [-1, -1, -1]])
    # What was kept forms the pairs of the batch once more.
    with step.of({}, training=True):
        assert loss(tags, x) > first > 0
    np.testing.assert_array_equal(bank.labels, [tags[1], tags[2], tags[2], tags[0]])


# --- in training ---


def x_and_labels(seed):
    x = np.random.default_rng(seed).normal(size=(8, 4)).astype("float32")
    return x, np.repeat(np.arange(4), 2)


def shared():
    """A model of two losses that share a bank."""
    keras.utils.set_random_seed(0)
    bank = MemoryBank(20, warm_up=1)
    loss = losses.MultiSimilarity(references=[bank]) + losses.Contrastive(
        references=[bank]
    )
    embedder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model = MetricModel(embedder, ks=[1])
    model.compile("adam", loss=loss)
    return model


def test_survives_an_interruption():
    assert_interruption_changes_nothing(shared, x_and_labels, steps=2)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_bank_of_several_losses_is_written_once_a_step(jit_compile, tmp_path):
    model = shared()
    model.compile("adam", loss=model.loss, jit_compile=jit_compile)
    x, labels = x_and_labels(0)
    model.fit(x, labels, batch_size=4, epochs=2, shuffle=False, verbose=0)
    (bank,) = model.loss.layers
    # Of four steps the first is warm-up.
    expected = [2, 2, 3, 3, 0, 0, 1, 1, 2, 2, 3, 3] + [-1] * 8
    np.testing.assert_array_equal(bank.labels, expected)
    before = ops.convert_to_numpy(bank.embeddings)
    model.evaluate(x, labels, loss=True, verbose=0)
    np.testing.assert_array_equal(bank.embeddings, before)
    model.save(tmp_path / "model.keras")
    assert len(keras.saving.load_model(tmp_path / "model.keras").loss.layers) == 1


def test_xla_changes_nothing():
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    bank = MemoryBank(8)
    loss = losses.MultiSimilarity(references=[bank])
    loss.build(4)
    with step.of({}, training=True):
        loss(LABELS, x[::-1])
    kept = [ops.convert_to_numpy(w) for w in bank.weights]

    def value(x):
        with step.of({}, training=True):
            return loss(LABELS, x)

    def run(how):
        for weight, old in zip(bank.weights, kept, strict=True):
            weight.assign(old)
        if keras.backend.backend() != "jax":
            return how(value, x)
        # Outside a stateless scope a compiled function must not leave tracers behind.
        with keras.StatelessScope():
            return how(value, x)

    for a, b in zip(
        run(compiled_value_and_gradient), run(value_and_gradient), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


# --- errors ---


def test_refuses_a_batch_larger_than_itself():
    message = (
        "`size` of a MemoryBank must be at least that of a batch. Received: size=4"
    )
    with pytest.raises(ValueError, match=message):
        bank_of(4)(batch_of([[1.0]] * 5, [0] * 5), training=True)
    keras.utils.set_random_seed(0)
    embedder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model = MetricModel(embedder, ks=[1])
    model.compile("sgd", loss=1.0 * losses.SupCon(references=[MemoryBank(4)]))
    x, labels = x_and_labels(0)
    with pytest.raises(ValueError, match=f"{message}, and a batch of 8"):
        model.fit(x, labels, verbose=0)
    model.fit(x, labels, batch_size=4, verbose=0)


@pytest.mark.parametrize(
    "num_tags, labels", [(None, [[1, 0]]), (2, [0]), (3, [[1, 0]])]
)
def test_refuses_labels_of_another_kind(num_tags, labels):
    message = (
        f"`num_tags` of a MemoryBank must be .* Received: num_tags={num_tags}, and"
    )
    with pytest.raises(ValueError, match=message):
        bank_of(4, num_tags=num_tags)(batch_of([[1.0]], labels), training=True)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"size": 0}, "`size` must be an integer of at least 1. Received: size=0"),
        ({"size": 2.5}, "`size` must be an integer"),
        ({"size": 2, "warm_up": -1}, "`warm_up` must be an integer of at least 0"),
        ({"size": 2, "num_tags": 1}, "`num_tags` must be an integer of at least 2"),
    ],
)
def test_refuses_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        MemoryBank(**arguments)


def test_losses_that_compare_references_refuse_it():
    with pytest.raises(ValueError, match="LiftedStructure compares its references"):
        losses.LiftedStructure(references=[kerasdml.references.MemoryBank(4)])
