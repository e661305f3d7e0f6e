"""What every miner promises, whatever it keeps."""

import inspect

import keras
import numpy as np
import pytest
from keras import ops

from kerasdml import MetricModel, losses, miners
from kerasdml.references import References
from tests.conftest import compiled, value_and_gradient

NAMES = [name for name in miners.__all__ if name != "Miner"]
FURTHER = [
    miners.BatchEasyHard(positives="semi_hard", negatives="hard"),
    miners.BatchEasyHard(positives="all", negatives="easy"),
    miners.TripletMargin(triplets="hard"),
    miners.TripletMargin(triplets="semi_hard"),
    miners.TripletMargin(triplets="easy"),
]
MINERS = [getattr(miners, name)() for name in NAMES] + FURTHER


def name_of(miner):
    arguments = [f"{name}={value}" for name, value in miner.get_config().items()]
    return f"{type(miner).__name__}({', '.join(arguments)})"


each_miner = pytest.mark.parametrize("miner", MINERS, ids=name_of)


@pytest.fixture(autouse=True)
def build(request):
    for layer in request.getfixturevalue("miner").layers:
        if not layer.built:
            layer.build(5)


def skip_if_it_draws(miner):
    if miner.layers:
        pytest.skip("draws anew at every call")


def examples(labels, dim=5, seed=0):
    embeddings = np.random.default_rng(seed).normal(size=(len(labels), dim))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    labels = np.array(labels, "int32")
    return References(embeddings.astype("float32"), labels, np.arange(len(labels)))


BATCH = examples(np.repeat(np.arange(4), 4))


def pairs_of(anchors, references):
    """Cosines and masks, of NumPy arrays or tensors."""
    known = ops.logical_and(anchors.labels[:, None] != -1, references.labels != -1)
    same = anchors.labels[:, None] == references.labels
    other = anchors.copy_of[:, None] != references.copy_of
    s = ops.matmul(anchors.embeddings, ops.transpose(references.embeddings))
    positives = ops.logical_and(ops.logical_and(same, other), known)
    return s, positives, ops.logical_and(ops.logical_not(same), known)


def mine(miner, anchors, references=None):
    references = anchors if references is None else references
    seen = (anchors, references) if miner.needs_examples else ()
    return miner(*pairs_of(anchors, references), *seen)


@each_miner
def test_each_argument_is_in_the_docstring(miner):
    for name, argument in inspect.signature(type(miner)).parameters.items():
        assert f"        {name}: " in type(miner).__doc__, name
        assert argument.kind is argument.KEYWORD_ONLY


@each_miner
def test_keeps_some_of_the_pairs_it_is_given(miner):
    memory = examples([0, 0, 1, 2, 3, 3, 4, -1], seed=1)
    memory = memory._replace(copy_of=np.full(8, -1))
    for references in (BATCH, memory):
        given = pairs_of(BATCH, references)[1:]
        kept = mine(miner, BATCH, references)
        for one, all_of_them in zip(kept, given, strict=True):
            assert keras.backend.standardize_dtype(one.dtype) == "bool"
            one, all_of_them = np.array(one), np.array(all_of_them)
            assert one.shape == all_of_them.shape
            assert one.any() and not (one & ~all_of_them).any()


@each_miner
@pytest.mark.parametrize(
    "labels, embeddings",
    [
        pytest.param([0, 0, 0, 0], None, id="no negatives"),
        pytest.param([0, 1, 2, 3], None, id="no positives"),
        pytest.param([0, -1, -1, -1], None, id="alone"),
        pytest.param([-1, -1, -1, -1], None, id="no classes"),
        pytest.param([0, 0, 1, 1], np.ones((4, 5), "float32"), id="all equal"),
        pytest.param([0, 0, 1, 1], np.zeros((4, 5), "float32"), id="all zero"),
    ],
)
def test_keeps_none_but_the_given_where_little_is_given(miner, labels, embeddings):
    few = examples(labels)
    if embeddings is not None:
        few = few._replace(embeddings=embeddings)
    given = pairs_of(few, few)[1:]
    for one, all_of_them in zip(mine(miner, few), given, strict=True):
        assert not (np.array(one) & ~np.array(all_of_them)).any()


@each_miner
def test_rows_are_mined_by_themselves_if_it_says_so(miner):
    skip_if_it_draws(miner)
    if not miner.row_wise:
        pytest.skip("mines the batch as a whole")
    some = References(*(x[5:9] for x in BATCH))
    for part, whole in zip(mine(miner, some, BATCH), mine(miner, BATCH), strict=True):
        np.testing.assert_array_equal(part, np.array(whole)[5:9])


@each_miner
def test_no_gradient_flows_through_the_choice(miner):
    # A loss that is 1 for a pair has no gradient but by the choice of pairs.
    skip_if_it_draws(miner)
    labels = BATCH.labels

    class Ones(losses.PairLoss):
        def pair_loss(self, similarities, positives, negatives):
            kept = ops.cast(ops.logical_or(positives, negatives), similarities.dtype)
            return ops.sum(kept + 0.0 * similarities, axis=1)

    loss = Ones(miner=miner)
    value, gradient = value_and_gradient(lambda e: loss(labels, e), BATCH.embeddings)
    assert value > 0 and (gradient == 0).all()


@each_miner
def test_xla_agrees_with_eager(miner):
    skip_if_it_draws(miner)
    function = compiled(lambda e, y, i: mine(miner, References(e, y, i)))
    np.testing.assert_array_equal(function(*BATCH), mine(miner, BATCH))


@each_miner
def test_a_graph_takes_any_number_of_examples(miner):
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("JAX has no graph beside `jit`, which has a test of its own")
    skip_if_it_draws(miner)
    specs = [
        tf.TensorSpec((None, 5), tf.float32),
        tf.TensorSpec((None,), tf.int32),
        tf.TensorSpec((None,), tf.int32),
    ]
    graph = tf.function(
        lambda e, y, i: mine(miner, References(e, y, i)), input_signature=specs
    )
    for count in (9, 16):
        some = References(*(x[:count] for x in BATCH))
        np.testing.assert_array_equal(graph(*some), mine(miner, some))


@each_miner
def test_config_round_trip(miner):
    config = keras.saving.serialize_keras_object(miner)
    twin = keras.saving.deserialize_keras_object(config)
    assert type(twin) is type(miner) and twin.get_config() == miner.get_config()


@pytest.mark.parametrize("miner", MINERS[: len(NAMES)], ids=name_of)
def test_a_loss_trains_with_it(miner):
    keras.utils.set_random_seed(0)
    labels = np.repeat(np.arange(4), 8)
    x = examples(labels).embeddings
    x[:, 0] += labels  # something to learn
    embedder = keras.Sequential([keras.Input((5,)), keras.layers.Dense(5)])
    model = MetricModel(embedder)
    twin = type(miner).from_config(miner.get_config())
    model.compile(keras.optimizers.Adam(0.03), loss=losses.Contrastive(miner=twin))
    before = [np.array(w) for w in embedder.get_weights()]
    # All steps in one epoch, as an epoch of one step is mostly its beginning.
    x, labels = np.tile(x, (10, 1)), np.tile(labels, 10)
    history = model.fit(x, labels, batch_size=32, shuffle=False, verbose=0).history
    (cost,) = history["loss"]
    assert np.isfinite(cost) and cost > 0
    moved = zip(before, embedder.get_weights(), strict=True)
    assert any((old != new).any() for old, new in moved)
