import keras
import numpy as np
import pytest

from kerasdml import losses
from kerasdml.losses import PairLoss
from kerasdml.miners import MultiLabel
from kerasdml.references import References, Source
from tests.conftest import compiled, value_and_gradient

X = np.array([[0, 0], [1, 0], [0, 1], [3, 0], [0, 4], [2, 2]], "float32")
TAGS = np.array(
    [[1, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 1]], "uint8"
)


class Pairs(PairLoss):
    """Gives the pairs instead of a loss of them."""

    def cost(self, anchors, references):
        return self.pairs(anchors, references)[1:]

    def pair_loss(self, similarities, positives, negatives):
        raise NotImplementedError


def mined(miner, tags, x, **arguments):
    found = Pairs(miner=miner, **arguments).costs(np.asarray(tags, "float32"), x)
    return tuple(np.asarray(mask) for mask in found)


def picked(masks, anchor):
    return [np.flatnonzero(mask[anchor]).tolist() for mask in masks]


def definition(tags, x, share, count, weights, positive_at, negative_at):
    """Anchors, then for each its positives and negatives, one score at a time."""
    some = np.flatnonzero(tags.any(axis=1))
    far = np.linalg.norm(x[:, None].astype("float64") - x, axis=2)
    anchors = [max(some, key=lambda j: far[j, some].sum())]
    while len(anchors) < round(share * len(tags)):
        anchors.append(max(some, key=lambda j: min(far[j, anchors])))
    keep = np.zeros((2, len(tags), len(tags)), bool)
    largest = far[np.ix_(some, some)].max()
    for a in anchors:
        others = [j for j in some if j != a]
        alike = np.zeros(len(tags))
        for j in others:
            alike[j] = (tags[a] & tags[j]).sum() / (tags[a] | tags[j]).sum()
        low, high = min(far[a, others]), max(far[a, others])
        hard = (far[a] - low) / (high - low)
        values = alike[others]
        positives = [j for j in others if alike[j] >= positive_at]
        negatives = [j for j in others if alike[j] <= negative_at]
        if not positives and max(values) > negative_at:
            positives = [j for j in others if alike[j] == max(values)]
        if not negatives and min(values) < positive_at:
            negatives = [j for j in others if alike[j] == min(values)]
        if not positives or not negatives:
            continue
        if min(alike[positives]) <= max(alike[negatives]):
            continue
        for kind, pool in enumerate((positives, negatives)):
            taken = []
            while len(taken) < min(count, len(pool)):
                scores = {
                    j: weights[0] * abs(kind - alike[j])
                    + weights[1] * abs(kind - hard[j])
                    + weights[2] * (min(far[j, taken]) / largest if taken else 0)
                    for j in pool
                    if j not in taken
                }
                taken.append(max(scores, key=scores.get))
            keep[kind, a, taken] = True
    return keep


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "share, count, weights, limits",
    [
        (0.25, 2, (1, 1, 1), (0.5, 0.25)),
        (1.0, 3, (1, 0.3, 2), (0.8, 0.0)),
        (0.5, 30, (1, 1, 1), (0.6, 0.4)),
    ],
)
def test_agrees_with_the_definition(seed, share, count, weights, limits):
    generator = np.random.default_rng(seed)
    tags = (generator.uniform(size=(16, 4)) < 0.4).astype("uint8")
    x = generator.normal(size=(16, 5)).astype("float32")
    names = ("relevance", "hardness", "diversity")
    miner = MultiLabel(
        anchors=share,
        positives=count,
        negatives=count,
        **dict(zip(names, weights, strict=True)),
    )
    found = mined(miner, tags, x, positive_at=limits[0], negative_at=limits[1])
    expected = definition(tags, x, share, count, weights, *limits)
    assert expected.any()
    np.testing.assert_array_equal(found, expected)


def test_anchors_worked_by_hand():
    # Of the mean distances that of index 4 is the largest. Of the others 3 is farthest
    # from it, at 5; then 0, 3 from its closest anchor, where 5 is sqrt(5) from 3.
    masks = mined(MultiLabel(anchors=0.5), TAGS, X)
    assert np.flatnonzero(masks[0].any(axis=1)).tolist() == [0, 3, 4]


@pytest.mark.parametrize(
    "anchor, count, positives, negatives",
    [
        # Jaccard: 1/2, 1, 0, 1/3, 1/3; distances scaled: 0, 0, 2/3, 1, 0.6095. The
        # positive 2 has the score (1 + 0) / 3, then 1 (1/2 + sqrt(2) / 5) / 3, and the
        # far index 4, with (1/3 + 1) / 3, is no positive.
        (0, 1, [2], [3]),
        (0, 2, [1, 2], [3]),
        # Positives: 3 (0.5), then 1 (0.498731). Nobody shares at most a quarter of its
        # tags, so negatives are those that share a third: 0, 2 and 5, of which first 5
        # (0.555556), then 2 (0.678291).
        (4, 1, [3], [5]),
        (4, 2, [1, 3], [2, 5]),
        # Positives: 4 (0.5), then 5. Negatives: 1 (0.666667), then 2 (0.631806).
        (3, 1, [4], [1]),
        (3, 2, [4, 5], [1, 2]),
    ],
)
def test_picks_worked_by_hand(anchor, count, positives, negatives):
    miner = MultiLabel(anchors=1.0, positives=count, negatives=count)
    assert picked(mined(miner, TAGS, X), anchor) == [positives, negatives]


def test_of_equal_scores_the_first_is_picked():
    x = np.array([[0.0], [1.0], [1.0], [-1.0], [-1.0]], "float32")
    tags = np.eye(2)[[0, 0, 0, 1, 1]]
    miner = MultiLabel(anchors=1.0, positives=1, negatives=1)
    assert picked(mined(miner, tags, x), 0) == [[1], [3]]


def test_triplets_are_those_of_the_loss():
    # All combinations of an anchor, a positive and a negative of it, each costing
    # max(d_p^2 - d_n^2 + 1/2, 0), as the sum over the batch.
    loss = losses.Triplet(
        miner=MultiLabel(anchors=0.5),
        similarity="squared_euclidean",
        margin=0.5,
        average="anchors",
        reduction="sum",
    )
    triplets = [(0, p, 3) for p in (1, 2)]
    triplets += [(4, p, n) for p in (1, 3) for n in (2, 5)]
    triplets += [(3, p, n) for p in (4, 5) for n in (1, 2)]
    squares = np.sum((X[:, None] - X) ** 2, axis=2)
    expected = sum(max(squares[a, p] - squares[a, n] + 0.5, 0) for a, p, n in triplets)
    np.testing.assert_allclose(loss(TAGS, X), expected, rtol=1e-6)
    mean = losses.Triplet.from_config({**loss.get_config(), "average": "pairs"})
    mean.reduction = "sum_over_batch_size"
    costing = sum(squares[a, p] - squares[a, n] + 0.5 > 0 for a, p, n in triplets)
    np.testing.assert_allclose(mean(TAGS, X), expected / costing, rtol=1e-6)


def test_one_tag_each_selects_what_classes_do():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, size=16)
    x = generator.normal(size=(16, 5)).astype("float32")
    of_tags = mined(MultiLabel(), np.eye(4)[labels], x)
    pairs = Pairs(miner=MultiLabel()).costs(keras.ops.convert_to_tensor(labels), x)
    np.testing.assert_array_equal(of_tags, pairs)
    same = labels[:, None] == labels
    assert of_tags[0].any() and not (of_tags[0] & ~same).any()
    assert of_tags[1].any() and not (of_tags[1] & same).any()


def test_ignores_where_the_axes_lie():
    angle = 0.7
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    generator = np.random.default_rng(0)
    tags = generator.integers(0, 2, size=(16, 4))
    x = generator.normal(size=(16, 2))
    expected = mined(MultiLabel(), tags, x.astype("float32"))
    moved = (x @ turn + [3, -2]).astype("float32")
    np.testing.assert_array_equal(mined(MultiLabel(), tags, moved), expected)


@pytest.mark.parametrize(
    "tags",
    [
        pytest.param(np.ones((4, 2)), id="all alike"),
        pytest.param(np.eye(4), id="none alike"),
        pytest.param(np.zeros((4, 2)), id="no tags"),
        pytest.param(np.eye(4)[:, :2], id="two with tags"),
    ],
)
def test_without_either_kind_nothing_is_kept(tags):
    assert not np.any(mined(MultiLabel(anchors=1.0), tags, X[:4]))


def test_copies_have_one_anchor():
    x = np.repeat(X[:2], 3, axis=0)
    tags = np.eye(2)[[0, 0, 1, 1, 0, 1]]
    masks = mined(MultiLabel(anchors=1.0), tags, x)
    assert masks[0].any(axis=1).sum() == 2
    equal = mined(MultiLabel(anchors=1.0), tags, np.ones((6, 2), "float32"))
    assert equal[0].any(axis=1).sum() == 1


class Further(Source):
    """One more reference, with the first tag alone, close to the example 4."""

    def call(self, batch, training=None):
        x = np.array([[0.0, 4.5]], "float32")
        return References(x, np.array([[1.0, 0, 0]], "float32"), np.array([-1]))


def test_picks_from_further_references():
    # To the example 4, with the tags 101, those with 100 are relevant alike, by 1/2:
    # 1 at a distance of sqrt(17), 6 at 0.5. First comes 3, with 001 at 5; then what is
    # farther from it, over the largest distance, and from 4, scaled from 0.5 … 5:
    # 1 (2 / 5.4083 + 0.805) before 6 (5.4083 / 5.4083 + 0) by a diversity of 1.
    found = mined(
        MultiLabel(anchors=1.0, diversity=1.0), TAGS, X, references=[Further()]
    )
    assert found[0].shape == (6, 7) and picked(found, 4)[0] == [1, 3]
    found = mined(
        MultiLabel(anchors=1.0, diversity=2.0), TAGS, X, references=[Further()]
    )
    assert picked(found, 4)[0] == [3, 6]


def test_compiled_agrees_and_has_a_gradient():
    loss = losses.Triplet(
        miner=MultiLabel(anchors=0.5), similarity="squared_euclidean", margin=0.5
    )
    expected, slopes = value_and_gradient(lambda x: loss(TAGS, x), X)
    assert np.isfinite(slopes).all() and np.abs(slopes).max() > 0
    function = compiled(lambda tags, x: loss(tags, x))
    value, gradient = value_and_gradient(lambda x: function(TAGS, x), X)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-5)


def test_config_round_trip():
    miner = MultiLabel(anchors=0.5, positives=3, diversity=0.1)
    config = keras.saving.serialize_keras_object(miner)
    twin = keras.saving.deserialize_keras_object(config)
    assert twin.get_config() == miner.get_config()


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"anchors": 0.0}, "above 0 and at most 1. Received: anchors=0.0"),
        ({"anchors": 2}, "above 0 and at most 1. Received: anchors=2"),
        ({"negatives": 0}, "at least 1. Received: positives=2, negatives=0"),
        ({"hardness": -1.0}, "must not be negative. Received: relevance=1.0, hardness"),
    ],
)
def test_rejects_what_is_out_of_range(bad, message):
    with pytest.raises(ValueError, match=message):
        MultiLabel(**bad)
