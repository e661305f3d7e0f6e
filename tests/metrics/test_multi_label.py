import numpy as np
import pytest

from kerasdml.metrics import multi_label_retrieval, retrieval

# One query, and a gallery in the order of its ranks.
QUERY, TAGS = np.array([[0.0]]), np.array([[1, 1, 0, 0]])
GALLERY = np.array([[1.0], [2.0], [3.0]])
GALLERY_TAGS = np.array([[1, 0, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1]])


def reference(
    queries, tags, gallery=None, gallery_tags=None, *, ks, lone=None, ties="index"
):
    """The definitions, by sets of tags, one query and one item at a time."""
    own = gallery is None
    if own:
        gallery, gallery_tags = queries, tags
    rows = []
    for i, (query, of_query) in enumerate(zip(queries, tags, strict=True)):
        q = set(np.flatnonzero(of_query))
        others = [j for j in range(len(gallery)) if not (own and i == j)]
        first = {"index": 0, "optimistic": -1, "pessimistic": 1}[ties]
        distances = np.sum((query - gallery) ** 2, axis=1)
        shared = first * (gallery_tags @ of_query)
        others.sort(key=lambda j, d=distances, s=shared: (d[j], s[j]))
        items = [set(np.flatnonzero(gallery_tags[j])) for j in others]
        grades = [len(q & t) for t in items]
        row = {}
        for k in ks:
            values = {}
            pairs = [pair(q, t, tags.shape[1]) for t in items[:k]]
            for name in pairs[0]:
                values[name] = np.mean([p[name] for p in pairs])
            hits = [n for n in range(k) if grades[n] > 0]
            precision = [np.mean([g > 0 for g in grades[: n + 1]]) for n in hits]
            relevant = sum(g > 0 for g in grades)
            values["map"] = sum(precision) / max(min(k, relevant), 1)
            acg = [np.mean(grades[: n + 1]) for n in hits]
            values["wap"] = np.mean(acg) if hits else 0.0
            best = dcg(sorted(grades, reverse=True)[:k])
            values["ndcg"] = dcg(grades[:k]) / (best or 1.0)
            row |= {f"{name}_at_{k}": value for name, value in values.items()}
        rows.append((any(grades), row))
    result = {}
    for name in rows[0][1]:
        rule = "exclude" if name.startswith(("map", "wap", "ndcg")) else "zero"
        kept = [row[name] for some, row in rows if some or (lone or rule) == "zero"]
        result[name] = np.mean(kept)
    return result


def pair(q, t, count):
    precision = len(q & t) / len(t) if t else 0.0
    recall = len(q & t) / len(q) if q else 0.0
    both = precision + recall
    return {
        "accuracy": len(q & t) / len(q | t) if q | t else 0.0,
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / both if both else 0.0,
        "hamming": len(q ^ t) / count,
        "acg": len(q & t),
    }


def dcg(grades):
    return sum((2**g - 1) / np.log2(n + 2) for n, g in enumerate(grades))


def tagged(n=40, tags=5, seed=0):
    """Embeddings without ties; some examples lack tags, one has a tag of its own."""
    rng = np.random.default_rng(seed)
    multi_hot = (rng.random((n, tags)) < 0.3).astype(int)
    multi_hot[:, -1] = 0
    multi_hot[3] = np.eye(tags, dtype=int)[-1]
    multi_hot[5] = 0
    return rng.normal(size=(n, 3)).astype("float32"), multi_hot


def test_worked_example():
    found = multi_label_retrieval(
        QUERY, TAGS, GALLERY, GALLERY_TAGS, ks=(3,), similarity="euclidean"
    )
    expected = {
        "accuracy_at_3": 0.388889,
        "precision_at_3": 0.555556,
        "recall_at_3": 0.5,
        "f1_at_3": 0.488889,
        "hamming_at_3": 0.5,
        "acg_at_3": 1.0,
        "map_at_3": 1.0,
        "wap_at_3": 1.25,
        "ndcg_at_3": 0.796708,
    }
    assert found == pytest.approx(expected, abs=1e-6)
    assert all(type(value) is float for value in found.values())


@pytest.mark.parametrize("lone", [None, "exclude", "zero"])
@pytest.mark.parametrize("chunk_size", [None, 7])
@pytest.mark.parametrize("apart", [False, True])
def test_agrees_with_the_definitions(apart, chunk_size, lone):
    data = tagged()
    if apart:
        data = *data, *tagged(30, seed=1)
        data[3][3] = 0  # the tag of one query, which the gallery then lacks
    options = {"ks": (1, 4, 30 if apart else 39), "lone": lone}
    found = multi_label_retrieval(
        *data, similarity="euclidean", chunk_size=chunk_size, **options
    )
    assert found == pytest.approx(reference(*data, **options), rel=1e-5)


def test_a_query_never_finds_itself_among_its_duplicates():
    # All at one point: the first other one has none of the tags.
    tags = np.array([[1, 0], [0, 1], [1, 0]])
    found = multi_label_retrieval(np.ones((3, 2)), tags, ks=(1,), lone="zero")
    # The first finds the second, the others the first: only the third shares its tag.
    assert found["recall_at_1"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("ties", ["index", "optimistic", "pessimistic"])
@pytest.mark.parametrize("apart", [False, True])
def test_ties_go_by_index_or_by_the_tags_shared(apart, ties):
    # Of few whole numbers, so that equal distances and copies are everywhere.
    data = [np.round(each) for each in (*tagged(), *tagged(30, seed=1))]
    data = data if apart else data[:2]
    options = {"ks": (1, 4), "ties": ties}
    found = multi_label_retrieval(*data, similarity="euclidean", **options)
    assert found == pytest.approx(reference(*data, **options), rel=1e-5)


def test_of_one_tag_each_it_is_the_retrieval_of_classes():
    embeddings, _ = tagged()
    labels = np.arange(40) % 6
    found = multi_label_retrieval(embeddings, np.eye(6)[labels], ks=(1, 9))
    names = ("precision_at_k", "map_at_k", "ndcg_at_k")
    expected = retrieval(embeddings, labels, metrics=names, ks=(1, 9))
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["accuracy_at_9"] == pytest.approx(expected["precision_at_9"])


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        ((QUERY, TAGS[0]), {}, r"shape `\(1, l\)`. Received: tags of shape \(4,\)"),
        ((QUERY, TAGS / 2), {}, r"must be multi-hot, 0 or 1. Received: \[0.0, 0.5\]"),
        ((QUERY, TAGS, GALLERY), {}, "Received `gallery` without `gallery_tags`"),
        ((QUERY, TAGS, GALLERY, GALLERY_TAGS[:, :3]), {}, "Received: 4 and 3"),
        ((QUERY, TAGS, GALLERY, 1 - TAGS.repeat(3, 0)), {}, "nothing to find"),
        ((QUERY, TAGS, GALLERY, GALLERY_TAGS), {"ks": (4,)}, "here 3 .*ks=.4,."),
        ((QUERY, TAGS, GALLERY, GALLERY_TAGS), {"ks": ()}, "at least one number"),
        ((QUERY, TAGS, GALLERY, GALLERY_TAGS), {"lone": "no"}, "lone='no'"),
        ((QUERY, TAGS, GALLERY, GALLERY_TAGS), {"ties": "no"}, "ties='no'"),
        ((QUERY, TAGS, GALLERY * np.nan, GALLERY_TAGS), {}, "`gallery` must be finite"),
    ],
)
def test_rejects_what_does_not_fit(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        multi_label_retrieval(*arguments, **{"ks": (1,), **options})
