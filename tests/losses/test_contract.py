"""What every loss promises, whatever its formula."""

import inspect

import keras
import numpy as np
import pytest

from kerasdml import losses, miners
from kerasdml.losses import PairLoss, ProxyLoss
from tests.conftest import compiled, value_and_gradient

FURTHER = [
    losses.Triplet(negatives="semi_hard"),
    losses.Triplet(negatives="hard"),
    losses.Triplet(negatives="hard", margin="soft", average="anchors"),
    losses.Triplet(negatives="semi_hard", margin="soft", average="active"),
    losses.Triplet(similarity="euclidean", margin=1.0),
    losses.Contrastive(average="pairs"),
    losses.Contrastive(similarity="euclidean", margin=-1.0, positive_margin=0.0),
    losses.Contrastive(miner=miners.BatchHard()),
    losses.MultiSimilarity(miner=miners.MultiSimilarity(), average="active"),
    losses.LiftedStructure(similarity="cosine"),
    losses.NPairs(l2_weight=0.0, similarity="cosine"),
    losses.ProxyNCA(num_classes=4, include_positive=False),
]


def built(name):
    cls = getattr(losses, name)
    proxy = issubclass(cls, ProxyLoss)
    return cls(num_classes=4) if proxy else cls()


def name_of(loss):
    changed = [f"{k}={v}" for k, v in loss.get_config().items() if k in loss_arguments]
    return f"{type(loss).__name__}({', '.join(changed)})"


loss_arguments = ("negatives", "similarity", "average", "margin", "include_positive")
LOSSES = [built(name) for name in losses.__all__] + FURTHER
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=name_of)
each_pair_loss = pytest.mark.parametrize(
    "loss", [x for x in LOSSES if isinstance(x, PairLoss)], ids=name_of
)


@pytest.fixture(autouse=True)
def build_with_seed(request):
    if "loss" in request.fixturenames:
        keras.utils.set_random_seed(7)
        request.getfixturevalue("loss").build(5)


def batch(classes=4, per_class=3, dim=5, dtype="float32"):
    labels = np.repeat(np.arange(classes), per_class)
    embeddings = np.random.default_rng(0).normal(size=(labels.size, dim))
    return labels, embeddings.astype(dtype)


def twin_of(loss, **changes):
    """A copy of `loss`, with its weights."""
    twin = type(loss).from_config({**loss.get_config(), **changes})
    twin.build(5)
    for mine, its in zip(twin.layers, loss.layers, strict=True):
        mine.set_weights(its.get_weights())
    return twin


@each_loss
def test_each_argument_is_in_the_docstring(loss):
    for cls in type(loss).__mro__:
        if cls in (PairLoss, ProxyLoss):
            break
        for name in inspect.signature(cls.__init__).parameters:
            if name not in ("self", "kwargs"):
                assert f"        {name}: " in cls.__doc__, name


@each_loss
def test_pulls_positives_pushes_negatives_ignores_the_rest(loss, pairs, pair_gradient):
    similarities, positives, negatives = pairs
    if isinstance(loss, ProxyLoss):
        positives = np.eye(13, dtype=bool)[:, :4]
        similarities, negatives = similarities[:, :4], ~positives
        loss.num_classes = 4
    gradient = pair_gradient(loss, similarities, positives, negatives)
    assert (gradient[positives] <= 0).all() and (gradient[positives] < 0).any()
    assert (gradient[negatives] >= 0).all() and (gradient[negatives] > 0).any()
    assert (gradient[~positives & ~negatives] == 0).all()


@each_loss
def test_gradient_agrees_with_finite_differences(loss):
    if keras.backend.backend() == "jax":
        pytest.skip("JAX computes in float32 here, too coarse for differences")
    loss = twin_of(loss, dtype="float64")
    labels, e = batch(dtype="float64")
    way, delta = np.random.default_rng(1).normal(size=e.shape), 1e-6
    up, down = loss(labels, e + delta * way), loss(labels, e - delta * way)
    _, gradient = value_and_gradient(lambda x: loss(labels, x), e)
    np.testing.assert_allclose(
        np.sum(gradient * way), float(up - down) / (2 * delta), rtol=1e-6, atol=1e-8
    )


@each_loss
def test_ignores_the_order_of_the_batch_and_the_axes_of_the_space(loss):
    labels, e = batch(per_class=2)
    order = np.random.default_rng(1).permutation(labels.size)
    rotation, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 5)))
    expected = float(loss(labels, e))
    if not isinstance(loss, losses.NPairs):  # which reads the first of two as anchor
        np.testing.assert_allclose(loss(labels[order], e[order]), expected, rtol=1e-5)
    np.testing.assert_allclose(loss(labels[:, None], e), expected, rtol=1e-6)
    turned = twin_of(loss)
    for layer in turned.layers:
        layer.points.assign(keras.ops.convert_to_numpy(layer.points) @ rotation)
    rotated = (e @ rotation).astype("float32")
    np.testing.assert_allclose(turned(labels, rotated), expected, rtol=1e-4)


@each_loss
@pytest.mark.parametrize(
    "labels, embeddings",
    [
        pytest.param([0, 0, 0], batch()[1][:3], id="no negatives"),
        pytest.param([0, 1, 2], batch()[1][:3], id="no positives"),
        pytest.param([0], batch()[1][:1], id="alone"),
        pytest.param([-1, -1], batch()[1][:2], id="no classes"),
        pytest.param([0, 0, 1, 1], np.ones((4, 5), "float32"), id="all equal"),
        pytest.param([0, 0, 1, 1], np.zeros((4, 5), "float32"), id="all zero"),
        pytest.param([0, 0, 1, 1], 1e4 * batch()[1][:4], id="far apart"),
        pytest.param([0, 0, 1, 1], 1e-9 * batch()[1][:4], id="tiny"),
    ],
)
def test_value_and_gradient_are_finite(loss, labels, embeddings):
    labels = np.array(labels)
    value, gradient = value_and_gradient(lambda e: loss(labels, e), embeddings)
    assert np.isfinite(value) and np.isfinite(gradient).all()


@each_pair_loss
@pytest.mark.parametrize("labels", [[0, 1, 2], [0], [-1, -1, -1]])
def test_nothing_to_pull_or_push_costs_nothing(loss, labels):
    if isinstance(loss, (losses.Contrastive, losses.MultiSimilarity)):
        embeddings = -np.eye(5, dtype="float32")[: len(labels)]  # far enough apart
        limit = 1e-6 if isinstance(loss, losses.Contrastive) else 1e-9
    else:
        embeddings, limit = batch()[1][: len(labels)], 0.0
    assert float(loss(np.array(labels), embeddings)) <= limit


@each_loss
def test_xla_agrees_with_eager(loss):
    labels, e = batch()
    expected, slopes = value_and_gradient(lambda x: loss(labels, x), e)
    # Labels are an argument: as a constant, much would be computed before XLA sees it.
    function = compiled(lambda y, x: loss(y, x))
    value, gradient = value_and_gradient(lambda x: function(labels, x), e)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-6)


@each_loss
def test_graph_agrees_with_eager_for_any_batch_size(loss):
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("JAX has no graph beside `jit`, which has a test of its own")
    graph = tf.function(
        lambda y, x: loss(y, x),
        input_signature=[
            tf.TensorSpec((None,), tf.int64),
            tf.TensorSpec((None, 5), tf.float32),
        ],
    )
    for per_class in (2, 3):
        labels, e = batch(per_class=per_class)
        np.testing.assert_allclose(graph(labels, e), loss(labels, e), rtol=1e-5)


@each_loss
def test_half_precision_embeddings_are_compared_in_float32(loss):
    labels, e = batch()
    rounded = e.astype("float16")
    value = loss(labels, keras.ops.convert_to_tensor(rounded))
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    np.testing.assert_allclose(value, loss(labels, rounded.astype("float32")))


@each_loss
def test_config_round_trip(loss):
    config = keras.saving.serialize_keras_object(loss)
    twin = keras.saving.deserialize_keras_object(config)
    assert type(twin) is type(loss) and twin.get_config() == loss.get_config()
    np.testing.assert_array_equal(twin_of(loss)(*batch()), loss(*batch()))


@each_pair_loss
def test_sample_weights_scale_each_anchor(loss):
    labels, e = batch()
    costs = keras.ops.convert_to_numpy(twin_of(loss, reduction="none")(labels, e))
    weights = np.arange(12, dtype="float32")
    expected = np.mean(weights * costs)
    np.testing.assert_allclose(loss(labels, e, weights), expected, rtol=1e-5)


@each_loss
def test_labels_above_2_to_the_24_stay_apart(loss):
    if isinstance(loss, ProxyLoss):
        pytest.skip("a class id of a proxy loss is below its number of classes")
    labels, e = batch()
    far = labels + 2**24
    np.testing.assert_array_equal(loss(far, e), loss(labels, e))


@each_loss
@pytest.mark.parametrize("labels", [np.linspace(0, 1, 12), list("aaabbbcccddd")])
def test_rejects_labels_that_are_no_class_ids(loss, labels):
    with pytest.raises(ValueError, match="Labels must be integer class ids"):
        loss(np.asarray(labels), batch()[1])


@each_loss
def test_rejects_labels_of_a_wrong_shape(loss):
    with pytest.raises(ValueError, match=r"of shape \(q,\) or \(q, 1\). Received"):
        loss(np.zeros((12, 2), int), batch()[1])


@each_loss
def test_fit_lowers_it(loss):
    from kerasdml import MetricModel

    keras.utils.set_random_seed(0)
    labels, x = batch(classes=2, per_class=16)
    x[:, 0] += 2 * labels  # something to learn
    embedder = keras.Sequential([keras.Input((5,)), keras.layers.Dense(5)])
    model = MetricModel(embedder)
    model.compile(keras.optimizers.Adam(0.03), loss=twin_of(loss))
    history = model.fit(x, labels, epochs=30, batch_size=32, verbose=0).history["loss"]
    assert history[-1] < history[0]
