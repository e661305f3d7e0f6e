import re

import numpy as np
import pytest
from keras import ops

from kerasdml.metrics import lone_queries, ranking, retrieval

# Six embeddings on a line; their ranked lists, worked by hand (1: of the same class):
#   0 (A)  1 3 2 4 5   1 0 1 0 0
#   1 (A)  0 3 2 4 5   1 0 1 0 0
#   2 (A)  4 3 1 0 5   0 0 1 1 0
#   3 (B)  1 2 0 4 5   0 0 0 1 0
#   4 (B)  2 3 1 5 0   0 1 0 0 0   1 and 5 are equally near
#   5 (C)  4 2 3 1 0   0 0 0 0 0   a lone query
LINE = np.array([0.0, 1.0, 4.0, 2.2, 5.0, 9.0])[:, None]
LINE_LABELS = np.array(["A", "A", "A", "B", "B", "C"])


ALL = (
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


def on_the_line(**options):
    return retrieval(LINE, LINE_LABELS, ks=(1, 2, 4), similarity="euclidean", **options)


def reference(
    queries,
    labels,
    gallery=None,
    gallery_labels=None,
    *,
    metrics=("recall_at_k", "precision_at_k", "r_precision", "map_at_r"),
    ks=(1, 10),
    similarity="cosine",
    ties="index",
    lone=None,
    average="micro",
):
    """The definitions, one query and one item at a time, in float64."""
    own = gallery is None
    if own:
        gallery, gallery_labels = queries, labels
    queries, gallery = queries.astype(float), gallery.astype(float)
    rows = []
    for i, query in enumerate(queries):
        items = []
        for j, item in enumerate(gallery):
            if own and i == j:
                continue
            if similarity in ("euclidean", "squared_euclidean"):
                s = -np.sum((query - item) ** 2)
            elif similarity == "manhattan":
                s = -np.sum(np.abs(query - item))
            elif similarity == "signal_to_noise":
                s = -np.var(query - item) / np.var(query)
            elif similarity == "hyperbolic":
                x, y = in_ball(query), in_ball(item)
                s = -np.sum((x - y) ** 2) / (1 - x @ x) / (1 - y @ y)
            else:
                s = np.sum(query * item)
            if similarity == "cosine":
                s = s / np.sqrt(np.sum(query**2)) / np.sqrt(np.sum(item**2))
            relevant = bool(labels[i] == gallery_labels[j])
            first = {"index": 0, "optimistic": not relevant, "pessimistic": relevant}
            items.append((-s, first[ties], j, relevant))
        relevance = [item[-1] for item in sorted(items)]
        r = sum(relevance)
        row = {f"recall_at_{k}": float(any(relevance[:k])) for k in ks}
        row |= {f"precision_at_{k}": sum(relevance[:k]) / k for k in ks}
        row["r_precision"] = sum(relevance[:r]) / r if r else 0.0
        at = [sum(relevance[: n + 1]) / (n + 1) for n in range(r) if relevance[n]]
        row["map_at_r"] = sum(at) / r if r else 0.0
        if metrics is ALL:
            row |= further(relevance, r, ks)
        rows.append((labels[i], r, row))
    result = {}
    for name in rows[0][2]:
        zero = name.startswith(("recall", "precision"))
        rule = lone or ("zero" if zero else "exclude")
        kept = [(c, row[name]) for c, r, row in rows if r or rule == "zero"]
        groups = [[v for _, v in kept]]
        if average == "macro":
            groups = [[v for c, v in kept if c == d] for d in {c for c, _ in kept}]
        result[name] = np.mean([np.mean(group) for group in groups])
    return result


def further(relevance, r, ks):
    """The metrics that are asked for by name, of one list, rank by rank."""
    depth = len(relevance)
    precision = [sum(relevance[: n + 1]) / (n + 1) for n in range(depth)]
    hits = [n for n in range(depth) if relevance[n]]
    row = {"mrr": 1 / (hits[0] + 1) if hits else 0.0}
    row["map_at_all"] = sum(precision[n] for n in hits) / max(r, 1)
    row["voc_map_at_all"] = sum(max(precision[n:]) for n in hits) / max(r, 1)
    for k in ks:
        within = [n for n in hits if n < k]
        row[f"share_found_at_{k}"] = len(within) / max(r, 1)
        row[f"map_at_{k}"] = sum(precision[n] for n in within) / max(min(k, r), 1)
        best = sum(1 / np.log2(n + 2) for n in range(min(k, r)))
        row[f"ndcg_at_{k}"] = sum(1 / np.log2(n + 2) for n in within) / (best or 1.0)
    return row


def in_ball(embedding):
    length = max(np.sqrt(embedding @ embedding), 1e-9)
    return embedding * np.tanh(min(length, 2.3)) / length


def unbalanced(n=60, dim=3, duplicates=15, seed=0):
    """Continuous embeddings, some of them exact copies; classes of 1 to 20."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1, 2, 3, 4, 5, 6], [20, 15, 11, 8, 4, 1, 1]))
    embeddings = rng.normal(size=(n, dim)).astype("float32")
    embeddings[rng.integers(0, n, duplicates)] = embeddings[
        rng.integers(0, n, duplicates)
    ]
    return embeddings, labels


def lattice(n=60, seed=0):
    """Embeddings of few small integers: copies and equal distances everywhere."""
    embeddings, labels = unbalanced(n, seed=seed)
    rng = np.random.default_rng(seed)
    return rng.integers(-2, 3, size=embeddings.shape).astype("float32"), labels


def test_worked_example_in_full():
    assert on_the_line() == pytest.approx(
        {
            "recall_at_1": 2 / 6,
            "recall_at_2": 3 / 6,
            "recall_at_4": 5 / 6,
            "precision_at_1": 2 / 6,
            "precision_at_2": 1.5 / 6,
            "precision_at_4": (2 / 4 + 2 / 4 + 2 / 4 + 1 / 4 + 1 / 4) / 6,
            # Of the lists cut at R = 2, 2, 2, 1, 1: halves, halves, nothing.
            "r_precision": (1 / 2 + 1 / 2) / 5,
            "map_at_r": (1 / 2 + 1 / 2) / 5,
        }
    )


def test_worked_example_without_the_lone_query():
    scores = on_the_line(lone="exclude")
    assert scores["recall_at_1"] == pytest.approx(2 / 5)
    assert scores["recall_at_2"] == pytest.approx(3 / 5)
    assert scores["recall_at_4"] == 1.0
    assert scores["precision_at_1"] == pytest.approx(0.4)
    assert scores["precision_at_2"] == pytest.approx(0.3)
    assert scores["precision_at_4"] == pytest.approx(0.4)
    assert scores["map_at_r"] == pytest.approx(0.2)


def test_worked_example_with_the_lone_query_as_zero():
    scores = on_the_line(lone="zero")
    assert scores["recall_at_4"] == pytest.approx(5 / 6)
    assert scores["map_at_r"] == scores["r_precision"] == pytest.approx(1 / 6)


def test_worked_example_by_name():
    scores = on_the_line(metrics=("share_found_at_k", "mrr"))
    assert scores == pytest.approx(
        {
            "share_found_at_1": 0.2,
            "share_found_at_2": 0.4,
            "share_found_at_4": 1.0,
            "mrr": (1 + 1 + 1 / 3 + 1 / 4 + 1 / 2) / 5,
        }
    )
    names = ("map_at_all", "voc_map_at_all")
    assert on_the_line(metrics=names) == pytest.approx(
        {"map_at_all": 0.566667, "voc_map_at_all": 0.583333}, abs=1e-6
    )
    assert on_the_line(metrics=names, average="macro") == pytest.approx(
        {"map_at_all": 0.534722, "voc_map_at_all": 0.548611}, abs=1e-6
    )
    scores = retrieval(
        LINE,
        LINE_LABELS,
        metrics=("ndcg_at_k",),
        ks=(1, 2, 3, 5),
        similarity="euclidean",
    )
    expected = [0.4, 0.3714448, 0.5553890, 0.6943379]
    np.testing.assert_allclose(list(scores.values()), expected, atol=1e-7)


def test_worked_example_of_each_class():
    scores = on_the_line(metrics=("recall_at_k", "map_at_r"), average="class")
    assert scores["recall_at_1"] == pytest.approx({"A": 2 / 3, "B": 0, "C": 0})
    assert scores["map_at_r"] == pytest.approx({"A": 1 / 3, "B": 0})
    by_number = retrieval(LINE, [7, 7, 7, 5, 5, 9], ks=(1,), average="class")
    assert list(by_number["map_at_r"]) == [5, 7]


def test_worked_example_by_classes():
    # Class A has MAP@R (1/2 + 1/2 + 0) / 3, class B 0, and C no value at all.
    scores = on_the_line(average="macro")
    assert scores["map_at_r"] == pytest.approx((1 / 3 + 0) / 2)
    assert scores["recall_at_1"] == pytest.approx((2 / 3 + 0 + 0) / 3)


@pytest.mark.parametrize("chunk_size", [None, 1, 7])
@pytest.mark.parametrize("ties", ["index", "optimistic", "pessimistic"])
@pytest.mark.parametrize(
    "data, similarity",
    [
        (unbalanced, "cosine"),
        (unbalanced, "euclidean"),
        (lattice, "dot"),
        (lattice, "euclidean"),
        (unbalanced, "squared_euclidean"),
        (unbalanced, "manhattan"),
        (lattice, "manhattan"),
        (unbalanced, "signal_to_noise"),
        (unbalanced, "hyperbolic"),
    ],
)
def test_agrees_with_the_definitions(data, similarity, ties, chunk_size):
    embeddings, labels = data()
    options = {"ks": (1, 3, 59), "similarity": similarity, "ties": ties}
    assert retrieval(
        embeddings, labels, chunk_size=chunk_size, **options
    ) == pytest.approx(reference(embeddings, labels, **options))


def test_ranks_as_the_similarities_do_on_a_gallery_apart():
    (queries, labels), (gallery, gallery_labels) = unbalanced(), unbalanced(seed=1)
    for similarity in ("manhattan", "signal_to_noise", "hyperbolic"):
        data = queries[:20], labels[:20], gallery, gallery_labels
        options = {"ks": (1, 5), "similarity": similarity}
        assert retrieval(*data, **options) == pytest.approx(reference(*data, **options))


@pytest.mark.parametrize("ties", ["index", "optimistic", "pessimistic"])
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("sort", [False, True])
def test_all_metrics_agree_with_the_definitions(monkeypatch, sort, apart, ties):
    if sort:  # as long lists are
        monkeypatch.setattr(ranking, "_LONG", 0)
        monkeypatch.setattr(ranking, "_LARGE", 0)
    data = lattice(seed=1)
    if apart:
        (gallery, gallery_labels) = lattice(seed=2)
        data = *data, gallery[:40], np.minimum(gallery_labels[:40], 4)
    options = {"metrics": ALL, "ks": (1, 5, 39), "ties": ties, "average": "macro"}
    options |= {"similarity": "euclidean"}
    assert retrieval(*data, chunk_size=7, **options) == pytest.approx(
        reference(*data, **options)
    )


@pytest.mark.parametrize("metrics", ALL)
def test_a_metric_alone_is_the_same(metrics):
    everything = retrieval(*unbalanced(), metrics=ALL)
    alone = retrieval(*unbalanced(), metrics=(metrics,))
    assert alone == {name: everything[name] for name in alone}
    assert set(alone) == {metrics.replace("at_k", f"at_{k}") for k in (1, 10)}


def test_lists_are_no_longer_than_the_metrics_need(monkeypatch):
    depths, top_k = [], ops.top_k

    def watched(x, k):
        depths.append(k)
        return top_k(x, k)

    monkeypatch.setattr(ops, "top_k", watched)
    for names in (("recall_at_k",), ("recall_at_k", "map_at_r"), ("mrr",)):
        retrieval(*unbalanced(), metrics=names)
    # 10; the 19 others of the largest class; all.
    assert depths == [10, 19, 59]


@pytest.mark.parametrize("lone", [None, "exclude", "zero"])
@pytest.mark.parametrize("average", ["micro", "macro"])
@pytest.mark.parametrize("ties", ["index", "pessimistic"])
def test_agrees_with_the_definitions_on_a_gallery_apart(lone, average, ties):
    (queries, labels), (gallery, gallery_labels) = lattice(seed=1), lattice(seed=2)
    labels = np.where(labels == 6, -1, labels)  # a class the gallery lacks
    data = queries, labels, gallery[:40], gallery_labels[:40]
    options = {"ks": (1, 40), "lone": lone, "average": average, "ties": ties}
    options["similarity"] = "euclidean"
    assert retrieval(*data, **options) == pytest.approx(reference(*data, **options))


def test_a_query_never_finds_itself_among_its_duplicates():
    # At 0 lie an A and a B. The B at 0 has the A first; leaving out whatever comes
    # first would leave the B itself as its own nearest neighbour.
    scores = retrieval(
        np.array([[0.0], [0.0], [5.0], [9.0]]),
        np.array(["A", "B", "B", "A"]),
        ks=(1,),
        similarity="euclidean",
    )
    # The A at 0 finds the B beside it, the B at 5 the A at 9, and that one the B at 5.
    assert scores["recall_at_1"] == 0.0


def test_a_query_pushed_out_of_its_list_by_duplicates_costs_no_other_item():
    # Ten copies of one point, all of one class but the first: lists of depth 9 go by
    # index and do not reach the later queries themselves.
    embeddings, labels = np.ones((10, 2)), np.array([1] + [0] * 9)
    options = {"ks": (1, 2), "lone": "zero"}
    scores = retrieval(embeddings, labels, **options)
    assert scores == pytest.approx(reference(embeddings, labels, **options))
    assert scores["recall_at_1"] == 0.0 and scores["recall_at_2"] == 0.9


def test_across_modalities_worked_by_hand(at_angles):
    # Sketches at 0 and 90 degrees of classes 0 and 1, photos at 10, 30, 80 and 105 of
    # classes 1, 0, 1, 0. The first finds relevance 0, 1, 0, 1, the other 1, 0, 0, 1: of
    # two relevant photos each has one among the first two, at rank 2 and at rank 1.
    scores = retrieval(
        at_angles(0, 90), [0, 1], at_angles(10, 30, 80, 105), [1, 0, 1, 0], ks=(1, 2)
    )
    np.testing.assert_allclose(scores["recall_at_1"], 1 / 2)
    np.testing.assert_allclose(scores["recall_at_2"], 1)
    np.testing.assert_allclose(scores["r_precision"], 1 / 2)
    np.testing.assert_allclose(scores["map_at_r"], (1 / 2 / 2 + 1 / 2) / 2)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_copies_tie_wherever_they_lie_in_the_gallery(count):
    # Products with these shapes were seen to round equal columns differently.
    rng = np.random.default_rng(0)
    gallery = np.tile(rng.normal(size=(1, 128)), (1001, 1))
    gallery_labels = np.array([1] + [0] * 1000)
    queries = rng.normal(size=(count, 128))
    scores = retrieval(queries, [1] * count, gallery, gallery_labels, ks=(1,))
    assert scores["recall_at_1"] == 1.0


def test_ties_go_by_index_or_by_relevance():
    def recall(first, ties):
        labels = [0, 0, 1] if first == "relevant" else [0, 1, 0]
        data = np.array([[0.0], [1.0], [-1.0]])
        return retrieval(
            data[:1],
            np.array(labels[:1]),
            data[1:],
            np.array(labels[1:]),
            ks=(1,),
            similarity="euclidean",
            ties=ties,
        )["recall_at_1"]

    assert recall("relevant", "index") == 1.0
    assert recall("irrelevant", "index") == 0.0
    assert recall("relevant", "optimistic") == recall("irrelevant", "optimistic") == 1.0
    assert recall("relevant", "pessimistic") == 0.0
    assert recall("irrelevant", "pessimistic") == 0.0


def test_a_tie_reaching_beyond_the_list_is_broken_all_the_same():
    # The one relevant item is the last of ten at one distance; lists have depth 1.
    data = np.zeros((1, 2)), [7], np.ones((10, 2)), [0] * 9 + [7]
    assert retrieval(*data, ks=(1,))["recall_at_1"] == 0.0
    assert retrieval(*data, ks=(1,), ties="optimistic")["recall_at_1"] == 1.0


def test_a_collapsed_embedding_shows_in_pessimistic_ties():
    labels = np.repeat(np.arange(5), 4)
    scores = retrieval(np.ones((20, 3)), labels, ks=(1,), ties="pessimistic")
    assert set(scores.values()) == {0.0}


def test_ignores_the_order_of_the_data():
    embeddings, labels = unbalanced(duplicates=0)
    order = np.random.default_rng(1).permutation(len(labels))
    assert retrieval(embeddings[order], labels[order]) == pytest.approx(
        retrieval(embeddings, labels)
    )


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_ignores_a_rotation_of_the_space(similarity):
    embeddings, labels = unbalanced()
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    assert retrieval(
        embeddings @ rotation, labels, similarity=similarity
    ) == pytest.approx(retrieval(embeddings, labels, similarity=similarity))


def test_cosine_ignores_lengths_and_euclidean_the_origin():
    embeddings, labels = unbalanced(duplicates=0)
    lengths = np.random.default_rng(1).uniform(0.1, 10, size=(len(labels), 1))
    assert retrieval(embeddings * lengths, labels) == pytest.approx(
        retrieval(embeddings, labels)
    )
    # Small integers far from the origin: the offset itself rounds nothing away.
    embeddings, labels = lattice()
    assert retrieval(
        embeddings + 10_000, labels, similarity="euclidean"
    ) == pytest.approx(retrieval(embeddings, labels, similarity="euclidean"))


def test_longer_lists_find_no_less():
    embeddings, labels = unbalanced()
    scores = retrieval(embeddings, labels, ks=range(1, 60))
    recalls = [scores[f"recall_at_{k}"] for k in range(1, 60)]
    assert recalls == sorted(recalls) and recalls[0] < recalls[-1]


def test_bounds():
    embeddings, labels = unbalanced()
    scores = retrieval(embeddings, labels)
    assert 0 < scores["map_at_r"] < scores["r_precision"] < 1
    best = retrieval(embeddings, labels, ties="optimistic")
    worst = retrieval(embeddings, labels, ties="pessimistic")
    assert worst["map_at_r"] < scores["map_at_r"] < best["map_at_r"]


def test_perfect_clusters_score_one():
    labels = np.repeat(np.arange(4), [2, 3, 5, 9])
    scores = retrieval(np.eye(4)[labels], labels, ks=(1,))
    assert set(scores.values()) == {1.0}


def test_labels_of_any_size_and_kind_stay_apart():
    # As float32 the first two would be one class, as float64 the last two.
    labels = np.array([2**24, 2**24 + 1, 2**53, 2**53 + 1])
    assert lone_queries(labels) == 4
    assert lone_queries(labels, labels.astype("uint64")) == 0
    assert lone_queries(["ant", "ant", "bee"]) == 1
    assert lone_queries(np.array([[3], [3], [4]])) == 1
    assert lone_queries(np.array([b"ant", b"bee"], object), [b"ant"]) == 1
    strings = LINE_LABELS.astype(object)
    assert retrieval(LINE, strings, ks=(1,)) == retrieval(LINE, LINE_LABELS, ks=(1,))


def test_takes_tensors_lists_and_numpy():
    embeddings, labels = unbalanced()
    expected = retrieval(embeddings, labels)
    assert retrieval(ops.convert_to_tensor(embeddings), labels.tolist()) == expected
    assert all(type(value) is float for value in expected.values())


def test_compares_no_more_queries_at_a_time_than_asked(monkeypatch):
    rows, matmul = [], ops.matmul

    def watched(x, y):
        rows.append(x.shape[0])
        return matmul(x, y)

    monkeypatch.setattr(ops, "matmul", watched)
    retrieval(*unbalanced(), chunk_size=25)
    assert rows == [25, 25, 10]


def test_shows_a_progress_bar_only_when_asked(capsys):
    retrieval(*unbalanced(), chunk_size=25)
    assert capsys.readouterr().out == ""
    retrieval(*unbalanced(), chunk_size=25, verbose=1)
    assert "60/60" in capsys.readouterr().out


@pytest.mark.parametrize(
    "embeddings, labels, message",
    [
        (
            np.ones(3),
            [0, 0, 1],
            r"shape `\(n, d\)`.* Received: embeddings of shape \(3,",
        ),
        (np.ones((0, 3)), [], "at least one row"),
        (np.ones((3, 2)), [0, 0], r"`\(3,\)`. Received: labels of shape \(2,\)"),
        (np.ones((3, 2)), np.eye(3, dtype=int), r"labels of shape \(3, 3\)"),
        (np.ones((3, 2)), [0.0, 0.0, 1.0], "floats would merge large ids.* float64"),
        (np.ones((3, 2)), np.array([0, "0", 1], object), "of one kind.* a mixture"),
    ],
)
def test_refuses_wrong_shapes_and_labels(embeddings, labels, message):
    with pytest.raises(ValueError, match=message):
        retrieval(embeddings, labels, ks=(1,))


def test_counts_the_rows_that_are_not_finite():
    embeddings, labels = unbalanced()
    embeddings[[7, 9], [0, 2]] = np.nan, np.inf
    with pytest.raises(
        ValueError, match="2 of 60 rows hold NaN or infinity, row 7 first"
    ):
        retrieval(embeddings, labels)
    with pytest.raises(ValueError, match="`gallery` must be finite"):
        retrieval(np.ones((60, 3)), labels, embeddings, labels)


@pytest.mark.parametrize("k", [0, 60, 1.5, 2.0])
def test_refuses_lists_longer_than_the_gallery(k):
    embeddings, labels = unbalanced()
    with pytest.raises(ValueError, match=r"from 1 to .* here 59 .* Received: ks=\(1, "):
        retrieval(embeddings, labels, ks=(1, k))


def test_the_whole_gallery_apart_may_be_listed():
    embeddings, labels = unbalanced()
    assert retrieval(embeddings, labels, embeddings, labels, ks=(60,))
    with pytest.raises(ValueError, match="here 60 .*ks=.61,."):
        retrieval(embeddings, labels, embeddings, labels, ks=(61,))


def test_one_embedding_has_nothing_to_find():
    with pytest.raises(ValueError, match="needs something to find"):
        retrieval(np.ones((1, 3)), [0], metrics=("mrr",), lone="zero")


def test_lengths_of_lists_matter_only_where_they_are_used():
    assert on_the_line(metrics=("map_at_all",)) == retrieval(
        LINE, LINE_LABELS, metrics=("map_at_all",), similarity="euclidean", ks=(99,)
    )


@pytest.mark.parametrize(
    "gallery, gallery_labels, message",
    [
        (np.ones((4, 3)), None, "given together. Received `gallery` without"),
        (None, [0, 1], "given together. Received `gallery_labels` without"),
        (np.ones((4, 5)), [0] * 4, "same embedding size. Received: 3 and 5"),
        (np.ones((4, 3)), ["0"] * 4, "of one kind, integers or strings"),
        (np.ones((4, 3)), [9] * 4, "nothing to find. Are .* encoded alike"),
    ],
)
def test_refuses_a_gallery_that_does_not_fit(gallery, gallery_labels, message):
    embeddings, labels = unbalanced()
    with pytest.raises(ValueError, match=message):
        retrieval(embeddings, labels, gallery, gallery_labels, ks=(1,))


def test_scores_zero_where_every_query_is_lone_if_asked():
    scores = retrieval(np.eye(3), [0, 1, 2], ks=(1,), lone="zero")
    assert set(scores.values()) == {0.0}
    with pytest.raises(ValueError, match='With `lone="zero"` all metrics are 0'):
        retrieval(np.eye(3), [0, 1, 2], ks=(1,))


@pytest.mark.parametrize(
    "bad",
    [
        {"metrics": ("map",)},
        {"metrics": "mrr"},
        {"metrics": ()},
        {"similarity": "l1"},
        {"ties": "random"},
        {"lone": "drop"},
        {"average": "mean"},
        {"chunk_size": 0},
    ],
)
def test_refuses_options_it_does_not_know(bad):
    (name, value) = next(iter(bad.items()))
    with pytest.raises(
        ValueError,
        match=f"`{name}` must be .*Received: {name}={re.escape(repr(value))}",
    ):
        retrieval(*unbalanced(), **bad)
