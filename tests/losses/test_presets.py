import keras
import numpy as np
import pytest

from kerasdml import MetricModel
from kerasdml.losses import MultiSimilarity, ProxyAnchor, presets

X = np.array([[1.0, 0.0], [0.0, 2.0]], "float32")
LABELS = np.array([0, 1])


@pytest.mark.parametrize(
    "preset, expected",
    [
        # Each example is at its own proxy and at a right angle to the other. Scaled to
        # a length of 3, the squared distances are 0 and 18.
        (presets.proxy_nca, -18.0),
        (presets.proxy_nca_pp, np.log1p(np.exp(-18.0))),
    ],
)
def test_value_worked_by_hand(with_proxies, preset, expected):
    loss = with_proxies(preset(2), np.eye(2))
    np.testing.assert_allclose(loss(LABELS, X), expected, atol=1e-6)


def test_multi_head_is_the_weighted_sum(with_proxies):
    x = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-1.0, 0.0]], "float32")
    labels = np.array([0, 0, 1, 1])
    loss = presets.multi_head(2)
    loss.build(2)
    anchor = with_proxies(ProxyAnchor(num_classes=2), np.eye(2))
    next(iter(loss.layers)).points.assign(np.eye(2))
    # Multi-Similarity as printed is 2.0745072 here.
    expected = 2.0745072 + 0.03 * float(anchor(labels, x))
    np.testing.assert_allclose(loss(labels, x), expected, rtol=1e-5)


def test_the_optimizer_of_proxy_nca_pp_is_nearly_gradient_descent_and_clips():
    optimizer = presets.proxy_nca_pp_optimizer(0.5, 50.0)
    embedder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model = MetricModel(embedder)
    model.compile(optimizer, loss=presets.proxy_nca_pp(2))
    before = [keras.ops.convert_to_numpy(w) for w in model.trainable_variables]
    gradients = [
        keras.ops.full(w.shape, 100.0 if "proxies" in w.path else 1.0)
        for w in model.trainable_variables
    ]
    model.optimizer.apply(gradients)
    root = np.sqrt(1 - 0.999)  # of the second moment, not yet corrected
    for old, weight in zip(before, model.trainable_variables, strict=True):
        rate, slope = (50.0, 10.0) if "proxies" in weight.path else (0.5, 1.0)
        expected = rate * root * slope / (root * slope + 1.0)
        moved = old - keras.ops.convert_to_numpy(weight)
        np.testing.assert_allclose(moved, expected, rtol=1e-3)


def test_presets_are_losses_of_a_class_that_has_further_arguments():
    pairs, anchors = presets.multi_head(5).losses
    assert isinstance(pairs, MultiSimilarity) and isinstance(anchors, ProxyAnchor)
    assert (pairs.beta, pairs.base, pairs.negative_sign) == (50.0, 1.0, "printed")
    assert anchors.num_classes == 5
