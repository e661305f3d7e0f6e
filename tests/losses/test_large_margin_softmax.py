import keras
import numpy as np
import pytest

from kerasdml import MetricModel
from kerasdml.losses import LargeMarginSoftmax, SphereFace
from tests.losses.margin_formulas import batch_and_proxies, cross_entropy


@pytest.mark.parametrize("margin, plain", [(2, 0), (3, 0.5), (4, 5)])
@pytest.mark.parametrize("seed", range(2))
def test_agrees_with_the_formula(with_proxies, seed, margin, plain):
    labels, x, proxies = batch_and_proxies(seed)
    logits = x.astype("float64") @ proxies.T
    for i, y in enumerate(labels):
        lengths = np.linalg.norm(x[i]) * np.linalg.norm(proxies[y])
        angle = np.arccos(logits[i, y] / lengths)
        k = int(margin * angle / np.pi)
        psi = (-1) ** k * np.cos(margin * angle) - 2 * k
        logits[i, y] = lengths * (plain * np.cos(angle) + psi) / (plain + 1)
    loss = LargeMarginSoftmax(
        num_classes=4, margin=margin, plain=plain, reduction="none"
    )
    costs = with_proxies(loss, proxies)(labels, x)
    np.testing.assert_allclose(costs, cross_entropy(logits, labels), rtol=1e-4)


def test_value_worked_by_hand(with_proxies):
    # Of length 2, at 60 degrees from its proxy, of length 3, and 30 from the other, of
    # length 1, with a margin of 2: the logits are 6 cos 120 = -3 and 2 cos 30:
    # log(1 + e^4.732051). Beside it the plain one is 6 cos 60 = 3, and of the two, at
    # weights of 1 and 2, the mean is 1: log(1 + e^0.732051).
    x = np.array([[1.0, np.sqrt(3.0)]], "float32")
    for plain, expected in [(0.0, 4.740821), (2.0, 1.124715)]:
        loss = LargeMarginSoftmax(num_classes=2, margin=2, plain=plain)
        value = with_proxies(loss, [[3.0, 0.0], [0.0, 1.0]])(np.array([0]), x)
        np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_without_margin_it_is_softmax(with_proxies):
    labels, x, proxies = batch_and_proxies(0)
    loss = LargeMarginSoftmax(num_classes=4, margin=1, reduction="none")
    costs = with_proxies(loss, proxies)(labels, x)
    expected = cross_entropy(x.astype("float64") @ proxies.T, labels)
    np.testing.assert_allclose(costs, expected, rtol=1e-4, atol=1e-6)


def test_with_proxies_of_length_1_it_is_sphere_face(with_proxies):
    labels, x, proxies = batch_and_proxies(0)
    proxies /= np.linalg.norm(proxies, axis=1, keepdims=True)
    value = with_proxies(LargeMarginSoftmax(num_classes=4, plain=3), proxies)(labels, x)
    loss = SphereFace(num_classes=4, scale=None, margin=4, plain=3)
    expected = with_proxies(loss, proxies)(labels, x)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize("margin", [0, 1.5])
def test_rejects_a_margin_that_is_no_whole_number(margin):
    with pytest.raises(ValueError, match="whole number.*Received: margin="):
        LargeMarginSoftmax(num_classes=3, margin=margin)


def test_a_schedule_of_the_plain_logit_goes_on_after_saving(tmp_path):
    fading = keras.optimizers.schedules.PolynomialDecay(4.0, 4, 0.0)
    embedder = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    model = MetricModel(embedder)
    loss = LargeMarginSoftmax(num_classes=4, plain=fading)
    model.compile(keras.optimizers.SGD(0.0), loss=loss)
    labels, x, _ = batch_and_proxies(0)
    before = model.evaluate(x, labels, loss=True, verbose=0)[0]
    model.fit(x, labels, batch_size=len(x), epochs=2, verbose=0)
    assert model.evaluate(x, labels, loss=True, verbose=0)[0] > before
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.loss.schedule.now(training=False), 2.0)


@pytest.mark.parametrize("plain", [-1, "fading"])
def test_rejects_a_weight_of_the_plain_logit(plain):
    with pytest.raises(ValueError, match="`plain` must be .*Received: plain="):
        LargeMarginSoftmax(num_classes=3, plain=plain)
