import sys

import numpy as np
import pytest

from kerasdml.metrics import clustering, evaluate, retrieval
from kerasdml.metrics.evaluate import metric_names

MODULE = sys.modules["kerasdml.metrics.evaluate"]  # whose name is the function's too

# Two tight pairs and one loose one, in the plane; unit vectors at these angles.
ANGLES = np.radians([0.0, 1.0, 90.0, 91.0, 180.0, 300.0])
POINTS = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
LABELS = np.array(["a", "a", "b", "b", "c", "c"])


def test_names_of_retrieval_and_of_clustering_mix_in_the_order_they_are_asked_for():
    found = evaluate(
        POINTS, LABELS, metrics=("nmi", "recall_at_k", "rand", "mrr"), ks=(1, 2)
    )
    assert list(found) == ["nmi", "recall_at_1", "recall_at_2", "rand", "mrr"]
    ranked = retrieval(POINTS, LABELS, metrics=("recall_at_k", "mrr"), ks=(1, 2))
    clustered = clustering(POINTS, LABELS)
    assert found == {name: (ranked | clustered)[name] for name in found}
    # 180 is nearer to 91 than to 300, and 300 to 0; then 300 finds 0, 1 and 180 finds
    # 91, 90, so that no second neighbour helps.
    assert found["recall_at_1"] == found["recall_at_2"] == pytest.approx(4 / 6)


def test_the_defaults_are_those_of_retrieval():
    assert evaluate(POINTS, LABELS, ks=(1,)) == retrieval(POINTS, LABELS, ks=(1,))


def test_options_of_retrieval_pass_through():
    queries, gallery = np.ones((2, 2)), np.ones((3, 2))
    for ties, expected in [("optimistic", 1.0), ("pessimistic", 0.0)]:
        found = evaluate(
            queries,
            [0, 1],
            gallery,
            [0, 1, 2],
            metrics=["recall_at_k"],
            ks=[1],
            ties=ties,
        )
        assert found == {"recall_at_1": expected}


def test_k_means_runs_only_if_it_is_asked_for(monkeypatch):
    monkeypatch.delattr(MODULE, "clustering")
    assert evaluate(POINTS, LABELS, metrics=["mrr"])
    with pytest.raises(NameError):
        evaluate(POINTS, LABELS, metrics=["nmi"])


def test_nothing_is_ranked_for_clusters_alone(monkeypatch):
    monkeypatch.delattr(MODULE, "retrieval")
    # Three classes, so that k-means finds 0 to 1, 90 to 91, and then one of the loose
    # ones goes its own way or both do; never worse than chance.
    found = evaluate(POINTS, LABELS, metrics=["nmi", "ami"], ks=(99,))
    assert list(found) == ["nmi", "ami"] and found["nmi"] > 0.5


def test_repeats_add_the_deviation_of_clustering():
    found = evaluate(
        POINTS, LABELS, metrics=["nmi", "mrr"], seed=3, repeats=2, similarity="cosine"
    )
    assert list(found) == ["nmi", "nmi_std", "mrr"]
    each = [clustering(POINTS, LABELS, seed=seed)["nmi"] for seed in (3, 4)]
    assert found["nmi"] == pytest.approx(np.mean(each))
    assert found["nmi_std"] == pytest.approx(np.std(each))


def test_every_name_that_retrieval_knows_is_known():
    with pytest.raises(ValueError) as of_retrieval:
        retrieval(POINTS, LABELS, metrics=["auc"])
    with pytest.raises(ValueError) as of_evaluate:
        evaluate(POINTS, LABELS, metrics=["auc"])
    start = "`metrics` must be one or more of "
    names, received = str(of_retrieval.value).removeprefix(start).split(". ", 1)
    assert str(of_evaluate.value) == (
        f"{start}{names}, 'nmi', 'ami', 'pairwise_f1', 'rand', 'adjusted_rand'. "
        f"{received}"
    )


@pytest.mark.parametrize("metrics", ["nmi", [], ["recall_at_1"]])
def test_no_names_and_names_that_are_none_are_refused(metrics):
    with pytest.raises(ValueError, match="one or more of 'recall_at_k', .*, 'nmi'"):
        evaluate(POINTS, LABELS, metrics=metrics)


def test_clusters_need_a_similarity_that_means_are_middles_by():
    with pytest.raises(ValueError, match="`similarity` must be 'cosine' or 'euclidean"):
        evaluate(POINTS, LABELS, metrics=["nmi"], similarity="dot")


def test_an_option_that_nothing_knows_is_refused_for_clusters_too():
    with pytest.raises(TypeError, match="not recognized: tie"):
        evaluate(POINTS, LABELS, metrics=["nmi"], tie="index")


def test_metric_names_are_those_of_the_values():
    names = metric_names(("map_at_k", "map_at_r", "nmi"), (1, 3))
    assert names == ["map_at_1", "map_at_3", "map_at_r", "nmi"]
    found = evaluate(POINTS, LABELS, metrics=("map_at_k", "map_at_r", "nmi"), ks=(1, 3))
    assert list(found) == names
