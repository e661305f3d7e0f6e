import keras
import numpy as np
import pytest

from kerasdml import MetricModel, losses, miners
from kerasdml.losses import Margin
from tests.conftest import compiled, value_and_gradient
from tests.losses.conftest import distances, masks


def built(dim=2, boundaries=None, **arguments):
    loss = Margin(**arguments)
    loss.build(dim)
    if boundaries is not None:
        loss.boundaries.distances.assign(boundaries)
    return loss


def formula(labels, embeddings, boundaries, margin, nu):
    """The loss of all pairs, one at a time in float64, over those that cost."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    d = distances(unit)
    positives, negatives = masks(labels)
    total, count = 0.0, 0
    for i in range(len(labels)):
        b = boundaries[labels[i]]
        terms = [d[i, k] - b + margin for k in np.flatnonzero(positives[i])]
        terms += [b - d[i, k] + margin for k in np.flatnonzero(negatives[i])]
        costing = [x for x in terms if x > 0]
        total += sum(costing) + nu * b * positives[i].sum()
        count += len(costing)
    return total / max(count, 1)


@pytest.mark.parametrize("margin, nu", [(0.2, 0.0), (0.05, 0.3)])
def test_agrees_with_the_formula(unbalanced, margin, nu):
    labels, embeddings = unbalanced
    boundaries = np.random.default_rng(0).uniform(0.6, 1.6, 12).astype("float32")
    loss = built(4, boundaries, num_classes=12, margin=margin, nu=nu)
    expected = formula(labels, embeddings, boundaries, margin, nu)
    np.testing.assert_allclose(loss(labels, embeddings), expected, rtol=1e-5)


def apart(*distances):
    """The cosine of unit vectors that are so far apart."""
    return 1 - np.square(distances) / 2


@pytest.mark.parametrize(
    "positive, negative, value, slope",
    [
        # 1.3 is 0.1 too far and 1.1 as much too close: each costs 0.2 + 0.1, over two.
        # The boundary falls by the one and rises by the other.
        (1.3, 1.1, 0.3, 0.0),
        # 0.9 is within 1.2 - 0.2: of one costing pair, the boundary wants to fall.
        (0.9, 1.1, 0.3, 1.0),
        (0.9, 1.5, 0.0, 0.0),
    ],
)
def test_values_worked_by_hand(positive, negative, value, slope):
    angles = np.arccos([1.0, *apart(positive, negative)])
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype("float32")
    loss = built(miner=First())
    labels = np.array([0, 0, 1])

    def of_boundary(boundary):
        loss.boundaries.distances = boundary
        return loss(labels, x)

    found = value_and_gradient(of_boundary, np.array([1.2], "float32"))
    np.testing.assert_allclose(found[0], value, atol=1e-6)
    np.testing.assert_allclose(found[1], [slope], atol=1e-6)


class First(miners.Miner):
    """Keeps the pairs of the first example alone."""

    def __call__(self, similarities, positives, negatives):
        first = np.arange(3)[:, None] == 0
        return positives & first, negatives & first


def test_the_boundary_is_that_of_the_anchors_class(at_angles):
    # Two of class 0 at a distance of 1 and one of class 1 at the distance sqrt(3) and
    # at sqrt(2 - 2 cos 60) = 1. Class 0, at 0.7: positives cost 0.5 each and the close
    # negative nothing. Class 1, at 1.3: the close negative costs 0.5.
    loss = built(2, [0.7, 1.3], num_classes=2, reduction="none", average="anchors")
    costs = loss(np.array([0, 0, 1]), at_angles(0, 60, 120))
    np.testing.assert_allclose(costs, [0.5, 0.5, 0.5], rtol=1e-5)


def test_lengths_change_nothing(unbalanced):
    labels, embeddings = unbalanced
    longer = embeddings * np.arange(1, 14, dtype="float32")[:, None]
    loss = built(4)
    np.testing.assert_allclose(
        loss(labels, longer), loss(labels, embeddings), rtol=1e-5
    )


def test_each_boundary_is_counted_once_a_positive(at_angles):
    # Positives at a distance of 0 and negatives at 2 cost nothing but the boundaries:
    # 0.1 times 2 * 0.5 for each of three anchors of class 0, and 0 for the lone one.
    loss = built(2, [0.5, 1.0], num_classes=2, nu=0.1, average="anchors")
    loss.reduction = "none"
    costs = loss(np.array([0, 0, 0, 1]), at_angles(0, 0, 0, 180))
    np.testing.assert_allclose(costs, [0.1, 0.1, 0.1, 0.0], rtol=1e-6)


@pytest.mark.parametrize("learn_boundaries", [True, False])
def test_boundaries_train_and_are_restored(learn_boundaries, tmp_path):
    keras.utils.set_random_seed(0)
    embedder = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
    model = MetricModel(embedder)
    loss = Margin(num_classes=8, learn_boundaries=learn_boundaries)
    model.compile(keras.optimizers.Adam(0.01), loss=loss)
    x = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
    model.fit(x, np.arange(32) % 8, verbose=0)
    after = keras.ops.convert_to_numpy(loss.boundaries.distances)
    assert (np.abs(after - 1.2) > 1e-3).any() == learn_boundaries
    assert loss.boundaries.distances.path == f"{loss.name}/boundaries/distances"
    model.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(twin.loss.boundaries.distances, after)


def test_takes_references():
    loss = Margin(miner=miners.DistanceWeighted(seed=0), num_classes=3)
    assert [layer.name for layer in loss.layers] == ["boundaries", "distance_weighted"]


@pytest.mark.parametrize("labels", [[0, 3], [-2, 0]])
def test_rejects_labels_that_have_no_boundary(labels):
    message = "Labels must be 0 … 2 for `num_classes=3`"
    with pytest.raises(ValueError, match=message):
        built(num_classes=3)(np.array(labels), np.eye(2, dtype="float32"))


@pytest.mark.parametrize("labels", [[0, 0, 3], [-2, 0, 0]])
def test_such_labels_are_nan_where_they_cannot_be_looked_at(labels):
    loss = built(num_classes=3)
    function = compiled(lambda y, x: loss(y, x))
    x = np.array([(1, 0), (0, 1), (1, 1)], "float32")
    assert np.isfinite(function(np.array([0, 0, 2]), x))
    assert np.isnan(function(np.array(labels), x))


def test_tags_are_for_a_boundary_of_all():
    tags = np.eye(3, dtype="uint8")[[0, 0, 1]]
    embeddings = np.random.default_rng(0).normal(size=(3, 2)).astype("float32")
    expected = built()(np.array([0, 0, 1]), embeddings)
    np.testing.assert_allclose(built()(tags, embeddings), expected)
    with pytest.raises(ValueError, match="Margin needs one class id an example"):
        built(num_classes=3)(tags, embeddings)


@pytest.mark.parametrize(
    "bad", [{"margin": -0.1}, {"nu": -1.0}, {"boundary": 0.0}, {"boundary": 2.0}]
)
def test_rejects_what_is_out_of_range(bad):
    with pytest.raises(ValueError, match="must not be negative and `boundary` must be"):
        Margin(**bad)


def test_rejects_other_similarities():
    with pytest.raises(ValueError, match="must be 'cosine': Margin works on Eucl"):
        losses.Margin(similarity="euclidean")
