import importlib

import numpy as np
import pytest

from kerasdml.metrics import kmeans

# By its path, since in `metrics` the function has its name.
module = importlib.import_module("kerasdml.metrics.kmeans")


def clouds(sizes, dim=6, spread=0.05, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centers = rng.normal(size=(len(sizes), dim))
    return centers[labels] + spread * rng.normal(size=(labels.size, dim)), labels


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_finds_clouds(seed, offset):
    x, labels = clouds([5, 30, 12, 8])
    found = kmeans(x + offset, clusters=4, seed=seed)
    assert found.dtype == np.int64
    pairs = set(zip(found.tolist(), labels.tolist(), strict=True))
    assert len(pairs) == 4 == len(set(found))


def test_ends_where_every_example_is_closest_to_its_own_mean():
    x = np.random.default_rng(0).normal(size=(200, 3))
    labels = kmeans(x, clusters=7)
    means = np.stack([x[labels == c].mean(axis=0) for c in range(7)])
    closest = np.argmin(np.linalg.norm(x[:, None] - means, axis=2), axis=1)
    np.testing.assert_array_equal(labels, closest)


def test_comparing_only_what_changed_changes_nothing(monkeypatch):
    # Data of which examples move to clusters that others left, and back.
    x = np.random.default_rng(3).uniform(size=(150, 2))
    expected, compared, nearest = kmeans(x, 15), [], module._nearest

    def watched(x, means):
        compared.append(len(x) * len(means))
        return nearest(x, means)

    monkeypatch.setattr(module, "_BLOCK", 500)
    monkeypatch.setattr(module, "_nearest", watched)
    np.testing.assert_array_equal(kmeans(x, 15), expected)
    assert compared[:2] == [150 * 15, 150 * 15] and compared[-1] < 150 * 15 / 2


def test_examples_go_to_the_clusters_that_changed(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 100)
    rng = np.random.default_rng(0)
    x, means = rng.normal(size=(90, 2)), rng.normal(size=(9, 2))
    labels, distances = module._nearest(x, means)
    changed = np.arange(9) >= 6
    means[changed] = rng.normal(size=(3, 2))
    found = module._nearest_again(x, means, labels, distances, changed)
    expected = module._nearest(x, means)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], atol=1e-6)
    assert (changed[expected[0]] & ~changed[labels]).any()


@pytest.mark.parametrize("clusters", [1, 5, 9])
def test_no_cluster_is_empty(clusters):
    for x in (np.ones((9, 2)), np.repeat([[0.0, 0.0], [3.0, 4.0]], [8, 1], axis=0)):
        assert len(set(kmeans(x, clusters).tolist())) == clusters


def test_several_of_many_means_are_drawn_at_a_time(monkeypatch):
    x, labels = clouds([4] * 60)
    monkeypatch.setattr(module, "_DRAWS", 12)  # five of the sixty
    drawn = module._far_apart(x.astype("float32"), 60, np.random.default_rng(0))
    assert len(drawn) == 60
    # By chance alone 38 clouds would have one; one after another would find all.
    assert len(set(labels[drawn])) > 50
    # Six places: all are taken soon, and what is drawn then is as good as anything.
    assert len(set(kmeans(np.repeat(x[:6], 20, axis=0), 60).tolist())) == 60


def test_a_seed_gives_the_same_clusters_again():
    x = np.random.default_rng(0).normal(size=(50, 3))
    np.testing.assert_array_equal(kmeans(x, 5, seed=3), kmeans(x, 5, seed=3))
    assert any((kmeans(x, 5, seed=s) != kmeans(x, 5, seed=0)).any() for s in (1, 2))


@pytest.mark.parametrize(
    "embeddings, arguments, message",
    [
        (np.ones(3), {}, r"shape \(n, d\) .* Received: shape \(3,\)"),
        ([[np.nan]], {}, "be finite"),
        (np.ones((3, 2)), {"clusters": 4}, "clusters=4, iterations=100 for n=3"),
        (np.ones((3, 2)), {"iterations": 0}, "iterations=0"),
    ],
)
def test_rejects_what_it_cannot_cluster(embeddings, arguments, message):
    with pytest.raises(ValueError, match=message):
        kmeans(embeddings, **{"clusters": 1, **arguments})
