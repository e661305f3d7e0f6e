"""What every loss promises, whatever its formula."""

import functools
import inspect

import keras
import numpy as np
import pytest

from kerasdml import losses, miners
from kerasdml.losses import MetricLoss, PairLoss, ProxyLoss
from tests.conftest import compiled, value_and_gradient
from tests.losses.conftest import construct, with_fields

FURTHER = [
    losses.Triplet(negatives="semi_hard"),
    losses.Triplet(negatives="hard"),
    losses.Triplet(negatives="hard", margin="soft", average="anchors"),
    losses.Triplet(negatives="semi_hard", margin="soft", average="active"),
    losses.Triplet(negatives="semi_hard", swap=True),
    losses.Triplet(negatives="hard", swap=True),
    losses.PNP(variant="Ib"),
    losses.SmoothAP(include_anchor=True),
    losses.Triplet(similarity="euclidean", margin=1.0),
    losses.Triplet(
        miner=miners.MultiLabel(), similarity="squared_euclidean", margin=0.5
    ),
    losses.ContrastiveBayesian(aggregation="sqrt", variance="mean"),
    losses.ContrastiveBayesian(aggregation="const", hardest=3),
    losses.Contrastive(average="pairs"),
    losses.Contrastive(similarity="euclidean", margin=-1.0, positive_margin=0.0),
    losses.Contrastive(miner=miners.BatchHard()),
    losses.Contrastive(miner=miners.Angular()),
    losses.Contrastive(similarity="hyperbolic", margin=-2.0, positive_margin=0.0),
    losses.MultiSimilarity(miner=miners.MultiSimilarity(), average="active"),
    losses.Margin(num_classes=4, nu=0.1, average="anchors"),
    losses.LiftedStructure(similarity="cosine"),
    losses.NPairs(mode="ovo", l2_form="length"),
    losses.NPairs(l2_weight=0.0, similarity="cosine"),
    losses.MultipleNegativesRanking(symmetric=True),
    losses.ProxyNCA(num_classes=4, include_positive=False),
    losses.ProxyNCA(num_classes=4, assignment=[0, 1, 2, 0]),
    losses.DynamicProxyNCA(include_positive=False),
    losses.MultiProxiesAnchor(num_classes=4, aggregation="data"),
    losses.MultiProxiesAnchor(num_classes=4, aggregation="mixed"),
    losses.ModalityAwareTriplet(weighting="published"),
    losses.ModalityAwareTriplet(weighting=None),
    losses.SphereFace(num_classes=4, scale=None, margin=4),
    losses.StructuredGaussian(mixup="soft", seed=0),
    losses.DenoisingMultiSimilarity(num_samples=32, aggregation="log_sum_exp"),
]


# What a formula breaks, and why.
BREAKS_THE_SIGN_RULE = {
    "CurricularFace": "its factor of hard negatives grows with their cosine",
    "ContrastiveBayesian": "the variance constraint holds back what is far apart",
    "IntraPairVariance": "lets go of pairs that are easier than the mean",
    "FastAP": "a positive among many others lowers their precision",
    "RecallAtK": "a positive that rises lowers the ranks of the others",
    "MultiProxiesAnchor": "a class's far proxy gives way to its near one",
    "SoftTriple": "a class's far center gives way to its near one",
    "P2SGrad": "draws negatives that are too far away back to a cosine of 0",
}
AXES_MATTER = {
    "BarlowTwins": "correlates coordinates",
    "VICReg": "takes the variance of each coordinate",
    "SimSiam": "has a network of its own behind the embedding",
    "ZeroMean": "sums over coordinates",
}
VIEWS = "the first example of a class is one view, the second the other"
ORDER_MATTERS = {
    "ModalityAwareTriplet": "here the modality follows from the row",
    "DistancePreserving": "here the teacher follows from the row",
    "RelationalDistillation": "here the teacher follows from the row",
    "BarlowTwins": VIEWS,
    "HIER": "what is drawn for an example follows from its row",
    "MultipleNegativesRanking": VIEWS,
    "NPairs": VIEWS,
    "SimSiam": VIEWS,
    "VICReg": VIEWS,
}
NO_DERIVATIVE = {
    "DiverseEnsemble": "the means that scale its parts have no gradient, by design",
    "Ensemble": "the means that scale its parts have no gradient, by design",
    "ModalityAwareTriplet": "the weights of its parts have no gradient, by design",
    "AdaFace": "the length that sets its margin has no gradient, as in the paper",
    "HIER": "it draws proxies, with the gradient of a relaxed draw",
    "Circle": "its paces have no gradient, as in the paper",
    "RankedList": "its weights have no gradient, as in the paper",
    "SimSiam": "one of its views has no gradient, by design",
    "WeightedPairs": "its weights have no gradient, by design",
}
NEGATIVES_ALONE = "negatives cost something without positives"
COSTS_WITHOUT_PAIRS = {
    "BinomialDeviance": NEGATIVES_ALONE,
    "DenoisingMultiSimilarity": NEGATIVES_ALONE,
    "IntraPairVariance": NEGATIVES_ALONE,
    "Margin": NEGATIVES_ALONE,
    "RankedList": NEGATIVES_ALONE,
    "ThresholdConsistentMargin": NEGATIVES_ALONE,
    "WeightedPairs": "pushes negatives however far away they are",
}
LOWERED_BY_OTHER_MEANS = {
    # name of a loss: the reason
}


def name_of(loss):
    changed = [f"{k}={v}" for k, v in loss.get_config().items() if k in loss_arguments]
    return f"{type(loss).__name__}({', '.join(changed)})"


ON_JAX = keras.backend.backend() == "jax"
loss_arguments = (
    "negatives",
    "similarity",
    "average",
    "margin",
    "include_positive",
    "mode",
    "aggregation",
)
LOSSES = [construct(name) for name in losses.__all__] + FURTHER
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=name_of)
each_pair_loss = pytest.mark.parametrize(
    "loss", [x for x in LOSSES if isinstance(x, PairLoss)], ids=name_of
)
each_loss_of_similarities = pytest.mark.parametrize(
    "loss", [x for x in LOSSES if isinstance(x, (PairLoss, ProxyLoss))], ids=name_of
)


def keeps(exceptions):
    """Those losses that are not among the exceptions."""
    kept = [x for x in LOSSES if type(x).__name__ not in exceptions]
    return pytest.mark.parametrize("loss", kept, ids=name_of)


@functools.cache
def build_with_seed(loss):
    """Once a loss, as a new seed makes TensorFlow forget its kernels."""
    keras.utils.set_random_seed(7)
    loss.build(5)


@pytest.fixture(autouse=True)
def built(request):
    if "loss" in request.fixturenames:
        build_with_seed(request.getfixturevalue("loss"))


def batch(classes=4, per_class=3, dim=5, dtype="float32"):
    labels = np.repeat(np.arange(classes), per_class)
    embeddings = np.random.default_rng(0).normal(size=(labels.size, dim))
    return labels, embeddings.astype(dtype)


def call(loss, labels, embeddings, *weights):
    with with_fields(labels):
        return loss(labels, embeddings, *weights)


@functools.cache
def of_one_loss(loss):
    """Its value and gradient; on JAX compiled, which takes a tenth of the time."""
    if not ON_JAX:
        return lambda labels, e: value_and_gradient(lambda x: call(loss, labels, x), e)
    import jax

    return jax.jit(jax.value_and_grad(lambda e, labels: call(loss, labels, e)))


def value_and_slopes(loss, labels, embeddings):
    if ON_JAX:
        loss.check_labels(labels)
        found = of_one_loss(loss)(embeddings, labels)
        return tuple(np.asarray(x) for x in found)
    return of_one_loss(loss)(labels, embeddings)


def value_of(loss, labels, embeddings):
    return value_and_slopes(loss, labels, embeddings)[0]


def twin_of(loss, **changes):
    """A copy of `loss`, with its weights."""
    twin = type(loss).from_config({**loss.get_config(), **changes})
    twin.build(5)
    for mine, its in zip(twin.layers, loss.layers, strict=True):
        mine.set_weights(its.get_weights())
    return twin


@pytest.mark.tensorflow_alone
@each_loss
def test_each_argument_is_in_the_docstring(loss):
    for cls in type(loss).__mro__:
        if cls in (PairLoss, ProxyLoss, MetricLoss):
            break
        if "__init__" not in vars(cls):
            continue
        for name in inspect.signature(cls.__init__).parameters:
            if name not in ("self", "kwargs"):
                assert f"        {name}: " in cls.__doc__, name


@each_loss_of_similarities
def test_pulls_positives_pushes_negatives_ignores_the_rest(loss, pairs, pair_gradient):
    similarities, positives, negatives = pairs
    if isinstance(loss, ProxyLoss):
        columns = loss.proxies.per_class * 4
        positives = np.arange(13)[:, None] == np.arange(columns) // (columns // 4)
        # Not the cosine of an example with itself, 1, from which nothing is pulled.
        similarities = np.roll(similarities, -1, axis=1)
        similarities = np.tile(similarities[:, :4], (1, columns // 4))
        negatives = ~positives
    gradient = pair_gradient(loss, similarities, positives, negatives)
    if type(loss).__name__ not in BREAKS_THE_SIGN_RULE:
        assert (gradient[positives] <= 0).all() and (gradient[negatives] >= 0).all()
    assert (gradient[positives] < 0).any() and (gradient[negatives] > 0).any()
    assert (gradient[~positives & ~negatives] == 0).all()


@pytest.mark.tensorflow_alone
@keeps(NO_DERIVATIVE)
def test_gradient_agrees_with_finite_differences(loss):
    loss = twin_of(loss, dtype="float64")
    labels, e = batch(dtype="float64")
    way, delta = np.random.default_rng(1).normal(size=e.shape), 1e-6
    up, down = (call(loss, labels, e + x * way) for x in (delta, -delta))
    _, gradient = value_and_slopes(loss, labels, e)
    np.testing.assert_allclose(
        np.sum(gradient * way), float(up - down) / (2 * delta), rtol=1e-6, atol=1e-8
    )


@keeps(ORDER_MATTERS)
def test_ignores_the_order_of_the_batch(loss):
    labels, e = batch()
    order = np.random.default_rng(1).permutation(labels.size)
    expected, slopes = value_and_slopes(loss, labels, e)
    value, turned = value_and_slopes(loss, labels[order], e[order])
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(turned, slopes[order], rtol=1e-4, atol=1e-5)


@keeps(AXES_MATTER)
def test_ignores_the_axes_of_the_space(loss):
    labels, e = batch()
    rotation, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 5)))
    expected = value_of(loss, labels, e)
    turned = twin_of(loss)
    for layer in turned.layers:
        points = getattr(layer, "tangents", getattr(layer, "points", None))
        if points is not None:
            points.assign(keras.ops.convert_to_numpy(points) @ rotation)
    rotated = (e @ rotation).astype("float32")
    np.testing.assert_allclose(call(turned, labels, rotated), expected, rtol=1e-4)


@each_loss
def test_takes_labels_as_a_column(loss):
    labels, e = batch()
    expected = value_of(loss, labels, e)
    np.testing.assert_allclose(call(loss, labels[:, None], e), expected, rtol=1e-6)


# Of one shape, so that one compilation serves them all; but for one example alone.
@each_loss
@pytest.mark.parametrize(
    "labels, embeddings",
    [
        pytest.param([0, 0, 0, 0], batch()[1][:4], id="no negatives"),
        pytest.param([0, 1, 2, 3], batch()[1][:4], id="no positives"),
        pytest.param([0, -1, -1, -1], batch()[1][:4], id="alone with a class"),
        pytest.param([-1, -1, -1, -1], batch()[1][:4], id="no classes"),
        pytest.param([0, 0, 1, 1], np.ones((4, 5), "float32"), id="all equal"),
        pytest.param([0, 0, 1, 1], np.zeros((4, 5), "float32"), id="all zero"),
        pytest.param([0, 0, 1, 1], 1e4 * batch()[1][:4], id="far apart"),
        pytest.param([0, 0, 1, 1], 1e-9 * batch()[1][:4], id="tiny"),
        *([] if ON_JAX else [pytest.param([0], batch()[1][:1], id="alone")]),
    ],
)
def test_value_and_gradient_are_finite(loss, labels, embeddings):
    value, gradient = value_and_slopes(loss, np.array(labels), embeddings)
    assert np.isfinite(value) and np.isfinite(gradient).all()


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [0, -1, -1, -1], [-1, -1, -1, -1]])
@keeps(
    [
        *COSTS_WITHOUT_PAIRS,
        *(type(x).__name__ for x in LOSSES if not isinstance(x, PairLoss)),
    ]
)
def test_nothing_to_pull_or_push_costs_nothing(loss, labels):
    if isinstance(loss, (losses.Contrastive, losses.MultiSimilarity)):
        embeddings = -np.eye(5, dtype="float32")[: len(labels)]  # far enough apart
        limit = 1e-6 if isinstance(loss, losses.Contrastive) else 1e-9
    else:
        embeddings, limit = batch()[1][: len(labels)], 0.0
    assert float(value_of(loss, np.array(labels), embeddings)) <= limit


@each_loss
def test_xla_agrees_with_eager(loss):
    labels, e = batch()
    expected, slopes = value_and_gradient(lambda x: call(loss, labels, x), e)
    # Labels are an argument: as a constant, much would be computed before XLA sees it.
    function = compiled(lambda y, x: call(loss, y, x))
    value, gradient = value_and_gradient(lambda x: function(labels, x), e)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-6)


@pytest.mark.tensorflow_alone
@each_loss
def test_graph_agrees_with_eager_for_any_batch_size(loss):
    tf = pytest.importorskip("tensorflow")
    graph = tf.function(
        lambda y, x: call(loss, y, x),
        input_signature=[
            tf.TensorSpec((None,), tf.int64),
            tf.TensorSpec((None, 5), tf.float32),
        ],
    )
    for per_class in (2, 3):
        labels, e = batch(per_class=per_class)
        np.testing.assert_allclose(graph(labels, e), call(loss, labels, e), rtol=1e-5)


@pytest.mark.tensorflow_alone
@each_pair_loss
def test_row_blocks_give_the_same_or_are_refused(loss):
    labels, e = batch()
    try:
        streamed = twin_of(loss, row_blocks=5)
    except ValueError as error:
        assert "needs all rows of the batch at once" in str(error)
        return
    expected = call(loss, labels, e)
    np.testing.assert_allclose(call(streamed, labels, e), expected, rtol=1e-5)


@pytest.mark.tensorflow_alone
@each_loss
def test_half_precision_embeddings_are_compared_in_float32(loss):
    labels, e = batch()
    rounded = e.astype("float16")
    value = call(loss, labels, keras.ops.convert_to_tensor(rounded))
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    expected = call(loss, labels, rounded.astype("float32"))
    np.testing.assert_allclose(value, expected)


@pytest.mark.tensorflow_alone
@each_loss
def test_config_round_trip(loss):
    config = keras.saving.serialize_keras_object(loss)
    twin = keras.saving.deserialize_keras_object(config)
    assert type(twin) is type(loss) and twin.get_config() == loss.get_config()
    expected = call(loss, *batch())
    np.testing.assert_array_equal(call(twin_of(loss), *batch()), expected)


@pytest.mark.tensorflow_alone
@pytest.mark.parametrize("loss", [x for x in LOSSES if x.per_anchor], ids=name_of)
def test_sample_weights_scale_each_anchor(loss):
    labels, e = batch()
    costs = call(twin_of(loss, reduction="none"), labels, e)
    assert costs.shape == (12,)
    weights = np.arange(12, dtype="float32")
    expected = np.mean(weights * keras.ops.convert_to_numpy(costs))
    np.testing.assert_allclose(call(loss, labels, e, weights), expected, rtol=1e-5)


@each_pair_loss
def test_labels_above_2_to_the_24_stay_apart(loss):
    if getattr(loss, "num_classes", None):
        pytest.skip("a class id of a loss with weights a class is below their number")
    labels, e = batch()
    far = labels + 2**24
    np.testing.assert_allclose(call(loss, far, e), call(loss, labels, e), rtol=1e-6)


@pytest.mark.tensorflow_alone
@each_loss
@pytest.mark.parametrize("labels", [np.linspace(0, 1, 12), list("aaabbbcccddd")])
def test_rejects_labels_that_are_no_class_ids(loss, labels):
    with pytest.raises(ValueError, match="Labels must be integer class ids"):
        call(loss, np.asarray(labels), batch()[1])


@pytest.mark.tensorflow_alone
@each_loss
def test_takes_tags_or_says_that_it_does_not(loss):
    labels, e = batch()
    tags = np.eye(4, dtype="uint8")[labels]
    if loss.takes_tags:
        expected = call(loss, labels, e)
        np.testing.assert_allclose(call(loss, tags, e), expected, rtol=1e-5)
        loss, tags = twin_of(loss), tags[..., None]
        message = r"of shape \(q,\) or \(q, 1\). Received"
    else:
        message = r"\w+ needs one class id an example"
    with pytest.raises(ValueError, match=message):
        call(loss, tags, e)


@keeps(LOWERED_BY_OTHER_MEANS)
def test_fit_lowers_it(loss):
    from kerasdml import MetricModel

    if ON_JAX and (loss in FURTHER or not loss.layers):
        pytest.skip("on JAX losses with weights are trained, in their default form")
    keras.utils.set_random_seed(0)
    labels, x = batch(classes=2, per_class=16)
    x[:, 0] += 2 * labels  # something to learn
    embedder = keras.Sequential([keras.Input((5,)), keras.layers.Dense(5)])
    model = MetricModel(embedder)
    model.compile(keras.optimizers.Adam(0.03), loss=twin_of(loss))
    y = {"label": labels, "index": np.arange(32), "modality": np.arange(32) % 2}
    y["teacher"] = x[:, :2]

    def mean_cost(steps):
        # All steps in one epoch, as an epoch of one step is mostly its beginning.
        fields = {name: np.concatenate([value] * steps) for name, value in y.items()}
        options = {"batch_size": 32, "shuffle": False, "verbose": 0}
        return model.fit(np.tile(x, (steps, 1)), fields, **options).history["loss"][0]

    first, _, last = mean_cost(1), mean_cost(28), mean_cost(1)
    assert last < first
