"""What holds of retrieval metrics whatever the data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasdml.metrics import retrieval

NAMES = (
    "recall_at_k",
    "precision_at_k",
    "share_found_at_k",
    "map_at_k",
    "ndcg_at_k",
    "r_precision",
    "map_at_r",
    "mrr",
    "map_at_all",
    "voc_map_at_all",
)


@st.composite
def embeddings_and_labels(draw):
    """3 to 24 embeddings, with copies; classes of any size, one of two at least."""
    size = draw(st.integers(3, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    labels = rng.integers(draw(st.integers(1, size)), size=size)
    labels[0] = labels[1]
    embeddings = rng.normal(size=(size, draw(st.integers(1, 4))))
    copied = rng.integers(size, size=(2, draw(st.integers(0, 6))))
    embeddings[copied[0]] = embeddings[copied[1]]
    return embeddings, labels


def scores(embeddings, labels, **options):
    options = {"similarity": "euclidean", "ties": "pessimistic", **options}
    ks = tuple(range(1, len(labels)))
    return retrieval(embeddings, labels, metrics=NAMES, ks=ks, **options)


check = settings(max_examples=25, deadline=None, derandomize=True)


@check
@given(embeddings_and_labels(), st.integers(0, 2**32))
def test_neither_the_order_nor_the_axes_nor_the_scale_matter(data, seed):
    embeddings, labels = data
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    rotation, _ = np.linalg.qr(rng.normal(size=(embeddings.shape[1],) * 2))
    expected = pytest.approx(scores(*data))
    assert scores(embeddings[order], labels[order]) == expected
    assert scores(4 * embeddings, labels) == expected
    # Of random embeddings only copies are equally near, and copies they remain.
    assert scores(embeddings @ rotation, labels) == expected


@check
@given(embeddings_and_labels())
def test_metrics_keep_their_order(data):
    found = scores(*data, lone="exclude")
    ks = range(1, len(data[1]))
    assert all(0 <= value <= 1 for value in found.values())
    for name in ("recall", "share_found"):
        values = [found[f"{name}_at_{k}"] for k in ks]
        assert values == sorted(values) and values[-1] == pytest.approx(1)
    slack = 1e-9
    assert found["map_at_r"] <= found["r_precision"] + slack
    assert found["map_at_all"] <= found["voc_map_at_all"] + slack
    assert found["map_at_r"] <= found["map_at_all"] + slack
    assert found["recall_at_1"] <= found["mrr"] + slack
    assert found["ndcg_at_1"] == pytest.approx(found["precision_at_1"])
    assert found["recall_at_1"] == pytest.approx(found["precision_at_1"])


@check
@given(embeddings_and_labels())
def test_rules_of_ties_enclose_any_order(data):
    rules = ("pessimistic", "index", "optimistic")
    worst, any_order, best = (scores(*data, ties=ties) for ties in rules)
    for name in worst:
        assert worst[name] - 1e-9 <= any_order[name] <= best[name] + 1e-9


@check
@given(st.integers(2, 6), st.integers(2, 6))
def test_classes_apart_score_one(classes, per_class):
    labels = np.repeat(np.arange(classes), per_class)
    found = scores(np.eye(classes)[labels], labels)
    for name, value in found.items():
        k = int(name.rpartition("_")[2]) if name[-1].isdigit() else 1
        if name.startswith("precision"):
            assert value == pytest.approx(min(1, (per_class - 1) / k))
        elif name.startswith("share_found"):
            assert value == pytest.approx(min(1, k / (per_class - 1)))
        else:
            assert value == pytest.approx(1), name
