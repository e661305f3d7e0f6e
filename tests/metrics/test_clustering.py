import itertools
import math
import tracemalloc

import numpy as np
import pytest

from kerasdml.metrics import cluster_agreement, clustering, kmeans

RNG = np.random.default_rng(0)
LABELINGS = {
    "worked example": ([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 2, 2]),
    "random": (RNG.integers(0, 7, 90), RNG.integers(0, 11, 90)),
    "unequal counts": (
        RNG.permutation(np.repeat(np.arange(9), [40, 20, 9, 9, 5, 3, 2, 1, 1])),
        RNG.permutation(np.repeat(np.arange(4), [60, 1, 1, 28])),
    ),
    "a cluster as large as half of all": ([0] * 5 + [1], [0] * 3 + [1] * 3),
    "one cluster": ([0, 0, 1, 2], [5, 5, 5, 5]),
    "one class": ([3, 3, 3, 3], [0, 1, 1, 1]),
    "one of each": ([3, 3, 3], [0, 0, 0]),
    "all alone in clusters": ([0, 0, 1, 1, 1], [4, 3, 2, 1, 0]),
    "all alone in both": ([0, 1, 2, 3], [7, 5, 4, 6]),
    "alone against together": ([0, 1, 2], [1, 1, 1]),
    "all but one alone": (np.arange(40), np.minimum(np.arange(40), 38)),
    "one example": ([4], [9]),
    "the same but for ids": ([0, 0, 1, 1, 2], [2, 2, 0, 0, 1]),
    "worse than chance": ([0, 0, 1, 1], [0, 1, 0, 1]),
    "strings": (["b", "a", "a", "c"], ["x", "x", "y", "y"]),
}
each_labeling = pytest.mark.parametrize(
    "labels, clusters", LABELINGS.values(), ids=LABELINGS.keys()
)


def information(labels, clusters):
    """Mutual information in nats, one cell of the table at a time."""
    n, total = len(labels), 0.0
    for c, k in itertools.product(set(labels), set(clusters)):
        in_class, in_cluster = np.equal(labels, c), np.equal(clusters, k)
        both = np.sum(in_class & in_cluster)
        if both:
            share = both * n / (in_class.sum() * in_cluster.sum())
            total += both / n * math.log(share)
    return total


def clouds(sizes, dim=6, spread=0.05, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centers = rng.normal(size=(len(sizes), dim))
    return centers[labels] + spread * rng.normal(size=(labels.size, dim)), labels


def test_values_worked_by_hand():
    # MI = ln 2 - 1/3 ln 2: the middle cluster alone says nothing of the class. The
    # entropies are ln 2 and ln 3. Of 15 pairs 6 are of one class and 3 in one cluster,
    # 2 of them both: 1 wrong, 4 missed, 8 neither. By chance 6 * 3 / 15 = 1.2 are both.
    found = cluster_agreement([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 2, 2])
    assert found == pytest.approx(
        {
            "nmi": 2 * (2 / 3 * math.log(2)) / (math.log(2) + math.log(3)),
            "ami": 0.2987925,
            "pairwise_f1": 2 * 2 / (6 + 3),
            "rand": (2 + 8) / 15,
            "adjusted_rand": (2 - 1.2) / ((6 + 3) / 2 - 1.2),
        }
    )
    assert found["nmi"] == pytest.approx(0.5158037)
    assert all(type(value) is float for value in found.values())


def test_corrects_for_the_mean_over_all_permutations():
    labels, clusters = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 2]
    orders = itertools.permutations(clusters)
    expected = np.mean([information(labels, order) for order in orders])
    mean_entropy = (information(labels, labels) + information(clusters, clusters)) / 2
    found = information(labels, clusters)
    ami = (found - expected) / (mean_entropy - expected)
    assert cluster_agreement(labels, clusters)["ami"] == pytest.approx(ami)


@each_labeling
def test_agrees_with_scikit_learn(labels, clusters):
    cluster = pytest.importorskip("sklearn.metrics.cluster")
    (tn, fp), (fn, tp) = cluster.pair_confusion_matrix(labels, clusters)
    f1 = 2 * tp / (2 * tp + fp + fn) if tp else 0.0
    assert cluster_agreement(labels, clusters) == pytest.approx(
        {
            "nmi": cluster.normalized_mutual_info_score(labels, clusters),
            "ami": cluster.adjusted_mutual_info_score(labels, clusters),
            "pairwise_f1": f1,
            "rand": cluster.rand_score(labels, clusters),
            "adjusted_rand": cluster.adjusted_rand_score(labels, clusters),
        },
        abs=1e-9,
    )


@each_labeling
def test_is_symmetric_and_ignores_ids_and_order(labels, clusters):
    expected = pytest.approx(cluster_agreement(labels, clusters), abs=1e-12)
    assert cluster_agreement(clusters, labels) == expected
    order = np.random.default_rng(1).permutation(len(labels))
    ids = np.random.default_rng(2).permutation(len(labels))
    renamed = ids[np.unique(clusters, return_inverse=True)[1]]
    assert cluster_agreement(labels, renamed) == expected
    assert cluster_agreement(np.take(labels, order), np.take(clusters, order)) == (
        expected
    )


def test_bounds():
    rng = np.random.default_rng(3)
    for _ in range(20):
        found = cluster_agreement(rng.integers(0, 9, 30), rng.integers(0, 9, 30))
        assert found["ami"] < found["nmi"] < 1 and found["ami"] < 0.5
        assert 0 <= found["pairwise_f1"] < 1 and found["adjusted_rand"] < found["rand"]


def test_what_is_undefined():
    together = cluster_agreement([1, 1], [0, 0])
    assert set(together.values()) == {1.0}
    alone = cluster_agreement([0, 1, 2], [2, 1, 0])
    assert alone.pop("pairwise_f1") == 0.0
    assert set(alone.values()) == {1.0}


def test_thousands_of_classes_and_clusters_need_no_dense_table():
    # As in Stanford Online Products: a dense table of floats would take a gigabyte.
    rng = np.random.default_rng(0)
    labels = rng.permutation(
        np.append(np.arange(11_316), rng.integers(0, 11_316, 49_186))
    )
    clusters = rng.permutation(labels)
    tracemalloc.start()
    found = cluster_agreement(labels, clusters)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6
    assert found["ami"] == pytest.approx(0, abs=1e-3) and found["nmi"] > 0.8


def test_ami_stays_exact_where_nearly_all_are_alone():
    # All but two are alone in either, and they are another two. Where they are the same
    # two, as in one of m permutations, MI = H; in any other it is H - e. So
    # AMI = (-e + e (1 - 1/m)) / (e (1 - 1/m)) = -1 / (m - 1), with e about 2e-5.
    n = 60_502
    labels, clusters = np.arange(n), np.arange(n)
    labels[1], clusters[3] = labels[0], clusters[2]
    expected = -1 / (n * (n - 1) / 2 - 1)
    found = cluster_agreement(labels, clusters)["ami"]
    assert found == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_clusters_that_are_the_classes_score_one(similarity):
    x, labels = clouds([5, 30, 12, 8])
    found = clustering(x, labels.astype(str), similarity=similarity)
    assert found.pop("clusters") == 4
    assert found.pop("seeds") == [0]
    assert found == dict.fromkeys(
        ["nmi", "ami", "pairwise_f1", "rand", "adjusted_rand"], 1.0
    )


def test_is_the_agreement_of_k_means():
    x, labels = clouds([20, 30, 12, 8], spread=1.0)
    found = clustering(x, labels, 6, 3, similarity="euclidean")
    expected = cluster_agreement(labels, kmeans(x, 6, seed=3))
    assert found == {**expected, "clusters": 6, "seeds": [3]}
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    expected = cluster_agreement(labels, kmeans(x / lengths, 4))
    found = clustering(x, labels)
    assert found.pop("seeds") == [0] and found.pop("clusters") == 4
    assert found == pytest.approx(expected)


def test_repeats_are_averaged():
    x, labels = clouds([20, 30, 12, 8], spread=1.0)
    found = clustering(x, labels, seed=5, repeats=3)
    each = [clustering(x, labels, seed=seed)["ami"] for seed in (5, 6, 7)]
    assert found["seeds"] == [5, 6, 7]
    assert found["ami"] == pytest.approx(np.mean(each))
    assert found["ami_std"] == pytest.approx(np.std(each)) and np.std(each) > 0


@pytest.mark.parametrize(
    "labels, clusters, message",
    [
        ([0, 1], [0, 1, 1], r"`clusters` must have one label .*`\(2,\)`.*shape \(3,\)"),
        ([0.0, 1.0], [0, 1], "`labels` must be integers or strings: floats"),
        (
            [0, 1],
            np.array([0, "1"], object),
            "`clusters` must be of one kind.* mixture",
        ),
        (np.array([], int), np.array([], int), "must not be empty"),
    ],
)
def test_rejects_labelings_that_do_not_fit(labels, clusters, message):
    with pytest.raises(ValueError, match=message):
        cluster_agreement(labels, clusters)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"embeddings": np.full((3, 2), np.nan)}, "`embeddings` must be finite, but 3"),
        ({"labels": [0, 1]}, r"`labels` must have one label per embedding.*`\(3,\)`"),
        ({"clusters": 4}, "`clusters` must be 1 … n .* clusters=4"),
        ({"seed": -1}, "`seed` must be at least 0 .*seed=-1"),
        ({"repeats": 0}, "`repeats` at least 1.*repeats=0"),
        ({"similarity": "dot"}, "must be 'cosine' or 'euclidean'.*similarity='dot'"),
        ({"iterations": 0}, "iterations=0"),
    ],
)
def test_rejects_what_it_cannot_cluster(bad, message):
    with pytest.raises(ValueError, match=message):
        clustering(**{"embeddings": np.eye(3), "labels": [0, 0, 1], **bad})
