import keras
import numpy as np
import pytest

from kerasdml import MetricModel, losses, ops
from kerasdml.ops.ancestors import Triplets, ancestor_cost
from tests.checkpoints import assert_interruption_changes_nothing
from tests.conftest import compiled, value_and_gradient

RNG = np.random.default_rng(0)
LABELS = np.repeat(np.arange(3), 4)
X = RNG.normal(size=(12, 4)).astype("float32")


@pytest.mark.parametrize(
    "triplet, proxies, expected",
    [
        ((0, 1, 2), [[0.3, 0.02], [0, 0]], 0),
        ((0, 1, 2), [[0.3, 0.02], [0.28, -0.05]], 0.1052804665),
        ((0, 2, 1), [[0.45, 0.05], [0.2, 0]], 0),  # one proxy is both ancestors
    ],
)
def test_a_triplet_in_the_ball_worked_by_hand(triplet, proxies, expected):
    points = np.array([[0.5, 0], [0.5, 0.1], [-0.5, 0]], "float32")
    d = ops.poincare_distances(points, np.array(proxies, "float32"))
    i, j, k = triplet
    columns = (np.full((3, 1), j), np.full((3, 1), k), np.arange(3) == i)
    triplets = Triplets(*map(keras.ops.convert_to_tensor, columns))
    found = ancestor_cost(
        d, triplets, lambda t: np.ones((2, 3, 2), "float32"), 0.1, 0.1
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def geodesics(x, y, c):
    square = np.sum((x[:, None] - y) ** 2, axis=-1)
    inside = [1 - c * np.sum(z**2, axis=-1) for z in (x, y)]
    return np.arccosh(1 + 2 * c * square / (inside[0][:, None] * inside[1])) / c**0.5


def in_ball(x, c, clip):
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return x / lengths * np.tanh(c**0.5 * np.minimum(lengths, clip)) / c**0.5


def lowest(distances):
    return np.flatnonzero(distances < distances.min() + 1e-5)


def expected_cost(closeness, d, top_k, margin, exclude_self, exclude):
    """The mean over every triplet, with the most probable ancestors, one by one."""
    n = len(d)
    high = [set(np.argsort(-row)[:top_k]) for row in closeness]
    means = []
    for i in range(n):
        near = [j for j in range(n) if j != i and j in high[i] and i in high[j]]
        far = [k for k in range(n) if k not in near and not (exclude_self and k == i)]
        if len(near) < 2 or not far:
            continue
        costs = []
        for j in near:
            for k in far:
                pair = np.maximum(d[i], d[j])
                triple = np.maximum(pair, d[k])
                # One proxy of a pair is as far from the other as the other from it.
                for g in lowest(pair):
                    others = np.where(exclude & (np.arange(len(pair)) == g), 99, triple)
                    for h in lowest(others):
                        steps = d[i, g] - d[i, h], d[j, g] - d[j, h], d[k, h] - d[k, g]
                        cost = sum(max(x + margin, 0) for x in steps) * (g != h)
                        share = len(lowest(pair)) * len(lowest(others))
                        costs.append((cost, 1 / share))
        means.append(np.dot(*np.transpose(costs)) / (len(near) * len(far)))
    return np.mean(means) if means else 0.0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_labels": False},
        {"collision": "exclude", "exclude_self": False},
        {"in_ball": True, "riemannian_gradient": False, "curvature": 0.02},
    ],
    ids=str,
)
def test_agrees_with_the_formula_over_all_triplets(options):
    # Nearly without noise, and with so many draws that they are nearly the mean.
    loss = losses.HIER(
        num_proxies=6, top_k=4, margin=0.5, temperature=1e-4, triplets=3000, **options
    )
    keras.utils.set_random_seed(0)
    loss.build(4)
    c = loss.curvature
    tangents = keras.ops.convert_to_numpy(loss.proxies.tangents).astype("float64")
    proxies = in_ball(tangents, c, 2.3)
    points = X if loss.in_ball else in_ball(X.astype("float64"), c, 2.3)
    closeness = np.exp(-geodesics(points, points, c))
    if loss.use_labels:
        closeness += LABELS[:, None] == LABELS
    np.fill_diagonal(closeness, 3)
    between = geodesics(proxies, proxies, c)
    rule = 4, 0.5, loss.exclude_self, loss.collision == "exclude"
    expected = expected_cost(closeness, geodesics(points, proxies, c), *rule)
    expected += expected_cost(-between, between, *rule)
    assert expected > 0
    value = compiled(loss)(LABELS, X)
    np.testing.assert_allclose(value, expected, rtol=0.03)


def test_labels_are_looked_at_only_on_request():
    found = {}
    for use_labels in (True, False):
        keras.utils.set_random_seed(0)
        loss = losses.HIER(num_proxies=6, top_k=4, triplets=4, use_labels=use_labels)
        loss.build(4)
        found[use_labels] = [float(loss(y, X)) for y in (LABELS, LABELS[::-1] % 2)]
    assert found[False][0] == found[False][1]
    assert found[True][0] != found[True][1]


def test_a_batch_without_triplets_has_no_gradient():
    loss = losses.HIER(num_proxies=6, top_k=4, triplets=4)
    loss.build(4)
    value, gradient = value_and_gradient(lambda x: loss(LABELS[:3], x), X[:3])
    assert value > 0, "proxies have triplets of their own"
    assert (gradient == 0).all()


def trained(model, epochs):
    model.fit(X, LABELS, 12, epochs=epochs, verbose=0)
    return model


def model_with(make_loss):
    keras.utils.set_random_seed(0)
    embedder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model = MetricModel(embedder, ks=[1], similarity="hyperbolic")
    model.compile(keras.optimizers.Adam(0.01), loss=make_loss())
    return model


def hier():
    return losses.HIER(num_proxies=6, top_k=4, triplets=4, seed=3)


def weights(model):
    return [keras.ops.convert_to_numpy(w) for w in model.weights]


def alone():
    return model_with(hier)


def batch(step):
    return X[step % 2 :], LABELS[step % 2 :]


def test_an_interruption_changes_nothing():
    assert_interruption_changes_nothing(alone, batch, steps=2)


def test_beside_another_loss_trains_its_proxies_and_evaluation_changes_nothing():
    model = model_with(lambda: losses.ProxyAnchor(num_classes=3) + 0.5 * hier())
    before = weights(model)
    trained(model, 1)
    after = weights(model)
    assert all((x != y).any() for x, y in zip(before, after, strict=True))
    stream = model.loss.losses[1].draws.seed_generator
    state = keras.ops.convert_to_numpy(stream.state)
    found = [model.evaluate(X, LABELS, loss=True, verbose=0) for _ in range(2)]
    assert found[0] == found[1]
    np.testing.assert_array_equal(stream.state, state)


def test_with_a_weight_of_0_training_is_that_of_the_other_loss():
    def proxy_anchor():
        return losses.ProxyAnchor(num_classes=3)

    plain = trained(model_with(proxy_anchor), 2)
    beside = trained(model_with(lambda: proxy_anchor() + 0.0 * hier()), 2)
    for x, y in zip(plain.embedder.weights, beside.embedder.weights, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"margin": -0.1}, "`temperature` positive. Received: margin=-0.1"),
        ({"temperature": 0.0}, "Received: margin=0.1, temperature=0.0"),
        ({"top_k": 2}, "at least 3, an example and two others, .* top_k=2"),
        ({"triplets": 0}, "`triplets` at least 1. Received: top_k=20, triplets=0"),
        ({"collision": "no"}, "'mask' or 'exclude'. Received: collision='no'"),
        ({"num_proxies": 1}, "at least 2. Received: num_proxies=1"),
        ({"curvature": 0.0}, "`curvature` and `clip` must be positive"),
    ],
)
def test_rejects_arguments_out_of_range(bad, message):
    with pytest.raises(ValueError, match=message):
        losses.HIER(**bad)
