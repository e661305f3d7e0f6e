import keras
import numpy as np
import pytest
from keras import ops

from kerasdml import MetricModel, losses
from kerasdml.layers import Seed
from kerasdml.losses.proxy_synthesis import _of_another_class, beta_share
from kerasdml.references import AllReplicas
from kerasdml.step import step
from tests.checkpoints import assert_interruption_changes_nothing

PROXIES = np.random.default_rng(5).normal(size=(4, 5)).astype("float32")
X = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
LABELS = np.array([0, 0, 1, 1, 3, 3])


def synthesis_of(loss, monkeypatch=None):
    """The loss, of a share of 0.3 and partners one class on."""
    synthesis = losses.ProxySynthesis(loss=loss, seed=0, reduction=None)
    synthesis.build(5)
    loss.proxies.points.assign(PROXIES)
    if monkeypatch:
        module = "kerasdml.losses.proxy_synthesis"
        monkeypatch.setattr(f"{module}.beta_share", lambda *_: 0.3)
        monkeypatch.setattr(f"{module}._of_another_class", one_class_on)
    return synthesis


def one_class_on(labels, offset):
    del offset
    partner = ops.convert_to_tensor(np.array([2, 3, 4, 5, 0, 1]))
    return partner, ops.ones_like(labels, dtype="bool")


def costs(loss, labels=LABELS, training=True):
    with step.of({}, training):
        return ops.convert_to_numpy(loss(np.asarray(labels), X))


def units(x):
    x = np.asarray(x, "float64")
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def enlarged():
    """The cosines of twice the batch and 10 proxies, and their classes."""
    x, p, partner = units(X), units(PROXIES), np.array([2, 3, 4, 5, 0, 1])
    own = p[LABELS]
    rows = np.concatenate([x, 0.3 * x + 0.7 * x[partner]])
    columns = np.concatenate([p, 0.3 * own + 0.7 * own[partner]])
    return units(rows) @ units(columns).T, np.concatenate([LABELS, 4 + np.arange(6)])


def test_is_the_softmax_of_real_and_made_up_classes(monkeypatch):
    loss = losses.NormalizedSoftmax(num_classes=4, temperature=0.1)
    s, classes = enlarged()
    logits = s / 0.1
    own = logits[np.arange(12), classes]
    expected = (np.log(np.exp(logits).sum(axis=1)) - own).reshape(2, 6).mean(axis=0)
    found = costs(synthesis_of(loss, monkeypatch))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_proxies_may_be_the_anchors(monkeypatch):
    loss = losses.ProxyAnchor(num_classes=4, alpha=8.0, margin=0.1)
    s, classes = enlarged()
    positive = classes[:, None] == np.arange(10)
    pull = np.where(positive, np.exp(-8 * (s - 0.1)), 0).sum(axis=0)
    push = np.where(positive, 0, np.exp(8 * (s + 0.1))).sum(axis=0)
    # 9 of the 10 classes are there: the real one of number 2 is not.
    expected = np.log1p(pull).sum() / 9 + np.log1p(push).sum() / 10
    found = costs(synthesis_of(loss, monkeypatch))
    np.testing.assert_allclose(found.mean(), expected, rtol=1e-5)


def test_evaluation_is_the_plain_loss():
    loss = losses.ProxyNCA(num_classes=4)
    synthesis = synthesis_of(loss)
    with step.of({}, training=False):
        plain = ops.convert_to_numpy(loss.costs(LABELS, X))
    np.testing.assert_array_equal(costs(synthesis, training=False), plain)
    assert (costs(synthesis) != plain).any()


@pytest.mark.parametrize("labels", [[2] * 6, [2, -1, -1, -1, -1, -1]])
def test_one_class_alone_makes_none_up(labels):
    synthesis = synthesis_of(losses.ProxyNCA(num_classes=4))
    plain = costs(synthesis, labels, training=False)
    np.testing.assert_allclose(costs(synthesis, labels), plain, atol=1e-5)


def test_a_class_outside_makes_it_nan():
    synthesis = synthesis_of(losses.ProxyNCA(num_classes=4))
    with pytest.raises(ValueError, match="Labels must be 0 … 3"):
        costs(synthesis, [0, 1, 2, 3, 4, 0])
    with step.of({}, training=True):
        labels = ops.convert_to_tensor([0, 1, 2, 3, 4, 0])
        assert np.isnan(ops.convert_to_numpy(synthesis.costs(labels, X))).all()


@pytest.mark.parametrize("offset", [0.0, 0.4, 0.99])
def test_partners_are_of_another_class(offset):
    labels = np.array([0, 0, 1, -1, 2, 2])
    partner, paired = _of_another_class(ops.convert_to_tensor(labels), offset)
    partner, paired = ops.convert_to_numpy(partner), ops.convert_to_numpy(paired)
    np.testing.assert_array_equal(paired, labels != -1)
    assert (labels[partner[paired]] != labels[paired]).all()
    assert (labels[partner[paired]] != -1).all()


@pytest.mark.parametrize("alpha", [0.4, 1.0, 2.0])
def test_shares_have_the_beta_distribution(alpha):
    stream = Seed(seed=0).seed_generator
    shares = [float(beta_share(alpha, stream)) for _ in range(400)]
    # Variance 1 / (4 (2 alpha + 1)); its estimate from 400 is within a fifth of it.
    np.testing.assert_allclose(np.mean(shares), 0.5, atol=0.07)
    np.testing.assert_allclose(np.var(shares), 1 / (4 * (2 * alpha + 1)), rtol=0.2)


def make_model():
    keras.utils.set_random_seed(0)
    embedder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6)])
    model = MetricModel(embedder)
    loss = losses.ProxySynthesis(loss=losses.ProxyAnchor(num_classes=3), seed=5)
    model.compile("adam", loss=loss)
    return model


def training_batch(i):
    rng = np.random.default_rng(i)
    return rng.normal(size=(9, 4)).astype("float32"), rng.integers(0, 3, 9)


def test_an_interruption_changes_nothing():
    assert_interruption_changes_nothing(make_model, training_batch)


@pytest.mark.parametrize(
    "loss",
    [
        losses.MultiSimilarity(),
        losses.SoftTriple(num_classes=4),
        losses.MagFace(num_classes=4),
        losses.SubCenterArcFace(num_classes=4),
        losses.ProxyNCA(num_classes=4, assignment=[0, 1, 2, 0]),
    ],
    ids=lambda loss: loss.name,
)
def test_rejects_losses_of_more_than_cosines(loss):
    with pytest.raises(ValueError, match="`loss` must have one proxy a class and comp"):
        losses.ProxySynthesis(loss=loss)


def test_rejects_other_arguments():
    with pytest.raises(ValueError, match=r"`alpha` must be in \(0, 2\]"):
        losses.ProxySynthesis(loss=losses.ProxyNCA(num_classes=4), alpha=0)
    everywhere = losses.ProxyAnchor(num_classes=4, references=[AllReplicas()])
    with pytest.raises(ValueError, match="`loss` must have no `references`"):
        losses.ProxySynthesis(loss=everywhere)
    with pytest.raises(ValueError, match="`loss` must have the default reduction"):
        losses.ProxySynthesis(loss=losses.ProxyNCA(num_classes=4, reduction="sum"))
