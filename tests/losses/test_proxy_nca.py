import keras
import numpy as np
import pytest

from kerasdml.losses import ProxyNCA

PROXIES = [(1, 0), (0, 1), (-1, 0)]
X = np.array([(1, 0), (0, 1), (1, 1)], "float32")
Y = np.array([0, 0, 1])


def unit(x):
    x = np.asarray(x, "float64")
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def formula(x, labels, proxies, include_positive, embedding_scale, proxy_scale):
    """The paper's costs from squared distances, one by one, in float64."""
    x, p = embedding_scale * unit(x), proxy_scale * unit(proxies)
    costs = []
    for example, label in zip(x, labels, strict=True):
        d = np.sum((p - example) ** 2, axis=1)
        others = [
            np.exp(-d[k]) for k in range(len(p)) if k != label or include_positive
        ]
        costs.append(d[label] + np.log(sum(others)))
    return costs


def random_batch(seed):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(9, 4)).astype("float32")
    return generator.integers(0, 5, size=9), x, generator.normal(size=(5, 4))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("include_positive", [True, False])
@pytest.mark.parametrize("scales", [(3.0, 3.0), (1.0, 1.0), (1.0, 8.0)])
def test_agrees_with_the_formula(with_proxies, seed, include_positive, scales):
    labels, x, proxies = random_batch(seed)
    loss = ProxyNCA(
        num_classes=5,
        include_positive=include_positive,
        embedding_scale=scales[0],
        proxy_scale=scales[1],
        reduction="none",
    )
    expected = formula(x, labels, proxies, include_positive, *scales)
    costs = with_proxies(loss, proxies)(labels, x)
    np.testing.assert_allclose(costs, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "scales, include_positive, one, batch",
    [
        # On the circle the squared distances from (1, 0) are 0, 2 and 4:
        # log(e^-2 + e^-4) = -1.873072, and log(1 + e^-2 + e^-4) = 0.142932.
        ((1, 1), False, -1.8730719890, 0.1037603129),
        ((1, 1), True, 0.1429316285, 1.0349160599),
        # Scaled to length 3 they are 0, 18 and 36: log(e^-18 + e^-36).
        ((3, 3), False, -17.9999999848, 1.0156254e-08),
        ((3, 3), True, 1.5229980e-08, 6.2310490754),
        # Lengths 1 and 8 multiply the cosine by 16.
        ((1, 8), False, -15.9999998875, None),
        ((1, 8), True, 1.1253518e-07, None),
    ],
)
def test_values_worked_by_hand(with_proxies, scales, include_positive, one, batch):
    loss = ProxyNCA(
        num_classes=3,
        include_positive=include_positive,
        embedding_scale=scales[0],
        proxy_scale=scales[1],
    )
    loss = with_proxies(loss, PROXIES)
    np.testing.assert_allclose(loss(Y[:1], X[:1]), one, rtol=1e-6, atol=1e-6)
    if batch is not None:
        np.testing.assert_allclose(loss(Y, X), batch, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_with_the_positive_it_is_cross_entropy_of_18_times_the_cosine(
    with_proxies, seed
):
    labels, x, proxies = random_batch(seed)
    logits = 18 * unit(x) @ unit(proxies).T
    shares = np.exp(logits) / np.sum(np.exp(logits), axis=1, keepdims=True)
    expected = -np.mean(np.log(shares[np.arange(9), labels]))
    value = with_proxies(ProxyNCA(num_classes=5), proxies)(labels, x)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_without_the_positive_it_is_at_most_that(with_proxies, seed):
    labels, x, proxies = random_batch(seed)
    loss = ProxyNCA(num_classes=5, reduction="none")
    included = with_proxies(loss, proxies)(labels, x)
    loss = ProxyNCA(num_classes=5, include_positive=False, reduction="none")
    excluded = with_proxies(loss, proxies)(labels, x)
    # A proxy that is far away adds to the sum less than float32 resolves.
    assert (np.asarray(excluded) <= np.asarray(included) + 1e-5).all()
    assert (np.asarray(excluded) < np.asarray(included)).any()


def test_lengths_change_nothing(with_proxies):
    labels, x, proxies = random_batch(0)
    expected = with_proxies(ProxyNCA(num_classes=5), proxies)(labels, x)
    longer = np.array([[2], [3], [1], [7], [0.5]]) * proxies
    value = with_proxies(ProxyNCA(num_classes=5), longer)(labels, 5 * x)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_names_of_classes_change_nothing(with_proxies):
    labels, x, proxies = random_batch(0)
    order = np.array([3, 0, 4, 1, 2])
    expected = with_proxies(ProxyNCA(num_classes=5), proxies)(order[labels], x)
    value = with_proxies(ProxyNCA(num_classes=5), proxies[order])(labels, x)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["embedding_scale", "proxy_scale"])
def test_rejects_a_scale_that_is_not_positive(name):
    with pytest.raises(ValueError, match=f"must be positive. Received: .*{name}=0"):
        ProxyNCA(num_classes=3, **{name: 0})


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("smoothing", [0.1, 0.7])
def test_smoothed_labels_agree_with_the_cross_entropy(with_proxies, seed, smoothing):
    labels, x, proxies = random_batch(seed)
    logits = 18 * unit(x) @ unit(proxies).T
    logs = logits - np.log(np.sum(np.exp(logits), axis=1, keepdims=True))
    targets = np.where(labels[:, None] == np.arange(5), 1 - smoothing, smoothing / 4)
    loss = ProxyNCA(num_classes=5, label_smoothing=smoothing, reduction="none")
    costs = with_proxies(loss, proxies)(labels, x)
    expected = -np.sum(targets * logs, axis=1)
    np.testing.assert_allclose(costs, expected, rtol=1e-5, atol=1e-5)


def test_smoothed_label_worked_by_hand(with_proxies):
    # Squared distances 0, 2 and 4: 0.142932 plus 0.1 shared by what the others are
    # farther away than the own, 2 and 4.
    loss = ProxyNCA(
        num_classes=3, embedding_scale=1, proxy_scale=1, label_smoothing=0.1
    )
    value = with_proxies(loss, PROXIES)(Y[:1], X[:1])
    np.testing.assert_allclose(value, 0.142931629 + 0.05 * (2 + 4), rtol=1e-6)


@pytest.mark.parametrize("include_positive", [True, False])
def test_classes_that_share_a_proxy_are_one(with_proxies, include_positive):
    labels, x, proxies = random_batch(0)
    assignment = [2, 0, 1, 0, 2]
    arguments = {"include_positive": include_positive, "reduction": "none"}
    loss = ProxyNCA(num_classes=5, assignment=assignment, **arguments)
    shared = with_proxies(loss, proxies[:3])
    assert shared.proxies.points.shape == (3, 4)
    loss = with_proxies(ProxyNCA(num_classes=3, **arguments), proxies[:3])
    expected = loss(np.array(assignment)[labels], x)
    np.testing.assert_allclose(shared(labels, x), expected, rtol=1e-6)
    # Labels are still those of classes; -1 is none, and costs nothing.
    none = shared(np.array([-1, 4]), x[:2])
    np.testing.assert_array_equal(np.asarray(none) == 0, [True, False])
    with pytest.raises(ValueError, match="Labels must be 0 … 4 for `num_classes=5`"):
        shared(np.array([5]), x[:1])


def test_each_class_its_own_proxy_is_the_default(with_proxies):
    labels, x, proxies = random_batch(0)
    loss = ProxyNCA(num_classes=5, assignment=np.arange(5))
    value = with_proxies(loss, proxies)(labels, x)
    expected = with_proxies(ProxyNCA(num_classes=5), proxies)(labels, x)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_assignment_is_in_the_config():
    loss = ProxyNCA(num_classes=4, assignment=np.arange(4) // 2)
    config = keras.saving.serialize_keras_object(loss)
    twin = keras.saving.deserialize_keras_object(config)
    assert twin.assignment == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "bad", [[0, 1], [0, 1, 3], [0.0, 1.0, 0.0], [-1, 0, 1], [[0, 1, 0]]]
)
def test_rejects_what_assigns_no_proxies(bad):
    with pytest.raises(ValueError, match="the proxy of each class, .* Received: assig"):
        ProxyNCA(num_classes=3, assignment=bad)


def test_rejects_one_proxy_for_all():
    with pytest.raises(ValueError, match="at least 2 proxies to tell apart. Received"):
        ProxyNCA(num_classes=3, assignment=[0, 0, 0])


@pytest.mark.parametrize(
    "bad",
    [
        {"label_smoothing": 1.0},
        {"label_smoothing": -0.1},
        {"label_smoothing": 0.1, "include_positive": False},
    ],
)
def test_rejects_smoothing_that_it_cannot_do(bad):
    with pytest.raises(ValueError, match="and 0 unless `include_positive`. Received"):
        ProxyNCA(num_classes=3, **bad)
