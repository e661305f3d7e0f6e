import numpy as np
import pytest

from kerasdml.losses import ArcFace


def unit(x):
    x = np.asarray(x, "float64")
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def cross_entropy(logits, labels):
    shares = np.exp(logits - np.max(logits, axis=1, keepdims=True))
    shares /= np.sum(shares, axis=1, keepdims=True)
    return -np.log(shares[np.arange(len(labels)), labels])


def formula(x, labels, proxies, scale, margin):
    """The costs by the angles themselves, in float64."""
    cosines = np.clip(unit(x) @ unit(proxies).T, -1, 1)
    logits = scale * cosines
    for i, k in enumerate(labels):
        angle = np.arccos(cosines[i, k])
        if angle + margin < np.pi:
            logits[i, k] = scale * np.cos(angle + margin)
        else:
            logits[i, k] = scale * (cosines[i, k] - margin * np.sin(margin))
    return cross_entropy(logits, labels)


@pytest.mark.parametrize("scale, margin", [(64.0, 0.5), (16.0, 0.2), (8.0, 1.5)])
@pytest.mark.parametrize("seed", range(2))
def test_agrees_with_the_formula(with_proxies, seed, scale, margin):
    generator = np.random.default_rng(seed)
    # In the plane, embeddings lie in all directions from their proxies.
    x, proxies = generator.normal(size=(24, 2)), generator.normal(size=(4, 2))
    labels = generator.integers(0, 4, size=24)
    loss = ArcFace(num_classes=4, scale=scale, margin=margin, reduction="none")
    costs = with_proxies(loss, proxies)(labels, x.astype("float32"))
    expected = formula(x, labels, proxies, scale, margin)
    # Logits reach 64, so float32 leaves a few 1e-6 of them.
    np.testing.assert_allclose(costs, expected, rtol=1e-4, atol=1e-4)


def test_without_margin_it_is_softmax_cross_entropy(with_proxies):
    generator = np.random.default_rng(0)
    x, proxies = generator.normal(size=(9, 4)), generator.normal(size=(5, 4))
    labels = generator.integers(0, 5, size=9)
    expected = np.mean(cross_entropy(10 * unit(x) @ unit(proxies).T, labels))
    loss = with_proxies(ArcFace(num_classes=5, scale=10.0, margin=0.0), proxies)
    np.testing.assert_allclose(loss(labels, x.astype("float32")), expected, rtol=1e-5)


def test_value_worked_by_hand(with_proxies):
    # At 60 degrees from its proxy and 30 from the other, with a margin of 30 degrees
    # and scale 2: the logits are 2 cos 90 = 0 and 2 cos 30 = 1.732051, and the cost
    # log(1 + e^1.732051).
    x = np.array([[0.5, np.sqrt(0.75)]], "float32")
    loss = ArcFace(num_classes=2, scale=2.0, margin=np.pi / 6)
    value = with_proxies(loss, np.eye(2))(np.array([0]), x)
    np.testing.assert_allclose(value, 1.894953, rtol=1e-6)


@pytest.mark.parametrize("cosine", [-0.999, -0.95, -0.88, -0.5, 0.0, 0.9, 0.999])
def test_pulls_a_positive_from_anywhere(one_anchor, pair_gradient, cosine):
    pairs = one_anchor([cosine], [0.1])
    loss = ArcFace(num_classes=2, scale=2.0)
    gradient = pair_gradient(loss, *pairs)
    own, other = 2 * cosine, 0.2
    if cosine > -np.cos(0.5):
        own = 2 * np.cos(np.arccos(cosine) + 0.5)
        steepness = np.sin(np.arccos(cosine) + 0.5) / np.sin(np.arccos(cosine))
    else:
        own -= 2 * 0.5 * np.sin(0.5)
        steepness = 1.0
    share = np.exp(own) / (np.exp(own) + np.exp(other))
    expected = [[-2 * (1 - share) * steepness, 2 * (1 - share)]]
    np.testing.assert_allclose(gradient, expected, rtol=1e-3)


def test_at_its_proxy_the_gradient_is_finite(one_anchor, pair_gradient):
    # Another proxy is so close that the own one still pulls.
    gradient = pair_gradient(ArcFace(num_classes=2), *one_anchor([1.0], [0.9]))
    assert np.isfinite(gradient).all() and gradient[0, 0] < 0


@pytest.mark.parametrize("bad", [{"scale": 0.0}, {"margin": -0.1}, {"margin": 1.6}])
def test_rejects_what_is_out_of_range(bad):
    message = r"`margin` an angle in \[0, pi / 2\). Received: scale="
    with pytest.raises(ValueError, match=message):
        ArcFace(num_classes=3, **bad)
