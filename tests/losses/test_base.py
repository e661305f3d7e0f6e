import keras
import numpy as np
import pytest

from kerasdml import losses, miners
from kerasdml.references import References, Source
from kerasdml.step import step
from tests.conftest import (
    compiled,
    compiled_value_and_gradient,
    value_and_gradient,
)
from tests.losses.conftest import construct, with_fields

each_proxy_loss = pytest.mark.parametrize(
    "name", ["ArcFace", "ProxyAnchor", "ProxyNCA"]
)


def built(name, num_classes=3, dim=2, **arguments):
    keras.utils.set_random_seed(0)
    loss = getattr(losses, name)(num_classes=num_classes, **arguments)
    loss.build(dim)
    return loss


class Fixed(Source):
    """A source of the same references for every batch."""

    def __init__(self, embeddings, labels, copy_of=None):
        super().__init__()
        self.fixed = embeddings, labels, copy_of or [-1] * len(labels)
        self.seen = []

    def call(self, batch, training=None):
        self.seen.append((batch, training))
        embeddings, labels, copy_of = self.fixed
        return References(
            keras.ops.convert_to_tensor(np.array(embeddings, "float32")),
            keras.ops.convert_to_tensor(np.array(labels), batch.labels.dtype),
            keras.ops.convert_to_tensor(np.array(copy_of, "int32")),
        )


class Copies(Source):
    """A source of the batch itself, some times over, each copy a little turned."""

    def __init__(self, count, anchors=True, exclude_own_copies=False, angle=0.0):
        super().__init__()
        self.count, self.angle = count, angle
        self.anchors, self.exclude_own_copies = anchors, exclude_own_copies

    def call(self, batch, training=None):
        turns = np.arange(1, self.count + 1) * self.angle
        return References(
            keras.ops.concatenate(
                [batch.embeddings[:0], *(turned(batch.embeddings, x) for x in turns)]
            ),
            keras.ops.concatenate([batch.labels[:0], *[batch.labels] * self.count]),
            keras.ops.concatenate([batch.copy_of[:0], *[batch.copy_of] * self.count]),
        )


def turned(x, angle):
    cos, sin = np.cos(angle), np.sin(angle)
    return keras.ops.matmul(x, np.array([(cos, sin), (-sin, cos)], "float32"))


def with_references(*sources, loss=losses.Contrastive, **arguments):
    loss = loss(references=list(sources), reduction="none", **arguments)
    loss.build(2)
    return loss


# --- average ---

# At 0, 60 and 90 degrees and at 180, with a margin of 1/2, the contrastive costs are
# 1/2, 1/2 + 0.366025, 0.366025 and 0 (see test_contrastive), of 4 costing pairs.
LABELS, DEGREES, TOTAL = np.array([0, 0, 1, 2]), (0, 60, 90, 180), 1.732051


@pytest.mark.parametrize("average, divisor", [("anchors", 4), ("active", 3)])
def test_average_says_over_what(at_angles, average, divisor):
    value = losses.Contrastive(average=average)(LABELS, at_angles(*DEGREES))
    np.testing.assert_allclose(value, TOTAL / divisor, rtol=1e-6)


def test_average_over_pairs_counts_those_that_cost(at_angles):
    value = losses.Contrastive(average="pairs")(LABELS, at_angles(*DEGREES))
    np.testing.assert_allclose(value, TOTAL / 4, rtol=1e-6)


@pytest.mark.parametrize("average", ["anchors", "active", "pairs"])
def test_nothing_active_is_0_not_nan(at_angles, average):
    loss = losses.Contrastive(average=average)
    labels = np.array([0, 1])
    value, gradient = value_and_gradient(lambda x: loss(labels, x), at_angles(0, 180))
    assert value == 0 and (gradient == 0).all()


def test_the_divisor_takes_no_part_in_the_gradient(at_angles):
    x = at_angles(*DEGREES)
    _, sums = value_and_gradient(
        lambda x: losses.Contrastive(reduction="sum")(LABELS, x), x
    )
    for average, divisor in (("anchors", 4), ("active", 3), ("pairs", 4)):
        loss = losses.Contrastive(average=average)
        _, gradient = value_and_gradient(lambda x, loss=loss: loss(LABELS, x), x)
        np.testing.assert_allclose(gradient, sums / divisor, rtol=1e-5, atol=1e-7)


def test_rejects_an_unknown_average():
    message = "must be one of 'anchors', 'active' and 'pairs'. Received: average='mean'"
    with pytest.raises(ValueError, match=message):
        losses.Contrastive(average="mean")


def test_rejects_an_average_over_pairs_of_what_is_no_sum_of_pairs():
    message = "The costs of MultiSimilarity are no sums over pairs"
    with pytest.raises(ValueError, match=message):
        losses.MultiSimilarity(average="pairs")


# --- similarity and miner ---


def test_each_similarity_is_the_one_it_says():
    # s of the only pair: 0.6 as cosine, 3 as dot product, minus sqrt(20) as distance.
    x, labels = np.array([(3, 4), (1, 0)], "float32"), np.array([0, 1])
    for similarity, s in (("cosine", 0.6), ("dot", 3.0), ("euclidean", -(20**0.5))):
        loss = losses.Contrastive(similarity=similarity, margin=-9, positive_margin=9)
        np.testing.assert_allclose(loss(labels, x), s + 9, rtol=1e-6)


def test_rejects_an_unknown_similarity():
    with pytest.raises(ValueError, match="Received: similarity='hamming'"):
        losses.Contrastive(similarity="hamming")


def test_a_miner_decides_which_pairs_cost(at_angles):
    # Batch-hard keeps of anchor 0 the positive at 90 (cost 1) of 30 and 90, and the
    # negative at 45 (0.707107 - 1/2) of 45 and 60.
    loss = losses.Contrastive(miner=miners.BatchHard(), reduction="none")
    costs = loss(np.array([0, 0, 0, 1, 1]), at_angles(0, 30, 90, 45, 60))
    np.testing.assert_allclose(costs[0], 1.207107, rtol=1e-5)


# --- references ---


def test_references_are_further_columns(at_angles):
    # From 0 degrees: the batch's own class mate at 60 costs 1 - 1/2, the reference of
    # its class at 90 costs 1, the one of another class at 30 costs 0.866025 - 1/2.
    source = Fixed(at_angles(90, 30), [0, 1])
    costs = with_references(source)(np.array([0, 0]), at_angles(0, 60))
    np.testing.assert_allclose(costs[0], 1.866025, rtol=1e-5)


def test_references_of_several_sources_add_up(at_angles):
    near, far = Fixed(at_angles(30), [1]), Fixed(at_angles(45), [1])
    costs = with_references(near, far)(np.array([0]), at_angles(0))
    np.testing.assert_allclose(costs, [0.866025 + 0.707107 - 1.0], rtol=1e-5)


def test_an_empty_slot_forms_no_pairs(at_angles):
    costs = with_references(Fixed(at_angles(10, 10), [-1, -1]))(
        np.array([0, -1]), at_angles(0, 5)
    )
    np.testing.assert_array_equal(costs, [0, 0])


def test_a_copy_of_the_anchor_itself_is_no_positive_of_it(at_angles):
    # The reference at 60 is example 1 again: a positive of example 0 (1 - 1/2), and
    # nothing to example 1. With example 0 in the batch both pay 1/2 once more.
    source = Fixed(at_angles(60), [0], copy_of=[1])
    costs = with_references(source)(np.array([0, 0]), at_angles(0, 60))
    np.testing.assert_allclose(costs, [1.0, 0.5], rtol=1e-5)


def test_references_are_normalised_with_the_batch(at_angles):
    labels, x = np.array([0]), at_angles(0)
    expected = with_references(Fixed(at_angles(30), [1]))(labels, x)
    costs = with_references(Fixed(7 * at_angles(30), [1]))(labels, 5 * x)
    np.testing.assert_allclose(costs, expected, rtol=1e-5)


def test_a_source_sees_the_batch_as_it_came_and_whether_it_trains(at_angles):
    source = Fixed(at_angles(30), [1])
    loss, x = with_references(source), 3 * at_angles(0, 60)
    loss(np.array([4, 5]), x)
    with step.of({}, training=True):
        loss(np.array([4, 5]), x)
    (batch, _), (_, training) = source.seen[-2:]
    np.testing.assert_array_equal(batch.labels, [4, 5])
    np.testing.assert_allclose(batch.embeddings, x)
    np.testing.assert_array_equal(batch.copy_of, [0, 1])
    assert training is True and source.seen[-2][1] is False


each_average = pytest.mark.parametrize("average", ["anchors", "active", "pairs"])


@each_average
def test_a_source_without_rows_changes_no_bit(at_angles, average):
    labels, x = np.array([0, 0, 1, 1, 2]), at_angles(3, 50, 20, 95, 130)
    plain = losses.Contrastive(reduction="none", average=average)
    expected = value_and_gradient(lambda x: keras.ops.sum(plain(labels, x)), x)
    for anchors in (False, True):
        loss = with_references(Copies(0, anchors), Copies(0), average=average)
        found = value_and_gradient(
            lambda x, loss=loss: keras.ops.sum(loss(labels, x)), x
        )
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


@each_average
@pytest.mark.parametrize("row_blocks", [1, 3])
def test_copies_as_anchors_are_a_larger_batch(at_angles, average, row_blocks):
    # Of two sources with 2 and 1 copies, the same as the plain loss of 16 examples.
    labels, x = np.array([0, 0, 1, 2]), at_angles(3, 50, 20, 95)
    all_x = np.concatenate([turned(x, a) for a in (0.0, 0.4, 0.8, 0.1)])
    plain = losses.Contrastive(reduction="none", average=average)
    expected = np.asarray(plain(np.tile(labels, 4), all_x)).reshape(4, 4).mean(axis=0)
    sources = Copies(2, angle=0.4), Copies(1, angle=0.1)
    loss = with_references(*sources, average=average, row_blocks=row_blocks)
    costs = loss(labels, x)
    assert costs.shape == (4,)
    np.testing.assert_allclose(costs, expected, rtol=1e-5)


def test_anchors_meet_the_references_of_other_sources(at_angles):
    # Copies at 0 and 60 of the batch at 0 and 60, and a stranger at 30: each anchor
    # pays for it, cos 30 - 1/2, on average over itself and its copy.
    sources = Fixed(at_angles(30), [1]), Copies(1, exclude_own_copies=True)
    costs = with_references(*sources)(np.array([0, -1]), at_angles(0, 60))
    np.testing.assert_allclose(costs, [0.366025, 0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("anchors", [False, True])
def test_copies_of_an_anchor_are_its_positives_unless_excluded(at_angles, anchors):
    # One example and its copies at 60 and 120 degrees. From 0: 1/2 and 3/2; as
    # anchors, from 60: 1/2 and 1/2, and from 120: 3/2 and 1/2.
    labels, x, turn = np.array([0]), at_angles(0), np.radians(60)
    free = Copies(2, anchors, exclude_own_copies=False, angle=turn)
    expected = (2 + 1 + 2) / 3 if anchors else 2
    np.testing.assert_allclose(with_references(free)(labels, x), [expected], rtol=1e-5)
    none = Copies(2, anchors, exclude_own_copies=True, angle=turn)
    np.testing.assert_allclose(with_references(none)(labels, x), [0], atol=1e-6)


def test_empty_slots_form_no_pairs_with_tags(at_angles):
    class Empty(Copies):
        def call(self, batch, training=None):
            found = super().call(batch, training)
            return found._replace(labels=keras.ops.full_like(found.labels, -1))

    tags, x = np.array([[1, 0], [1, 0], [1, 1], [0, 1]]), at_angles(0, 60, 90, 95)
    loss = with_references(Empty(1, anchors=False, angle=0.5))
    expected = losses.Contrastive(reduction="none")(tags, x)
    assert np.any(expected)
    np.testing.assert_allclose(loss(tags, x), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["LiftedStructure", "NPairs", "CentroidTriplet"])
def test_copies_as_anchors_serve_losses_of_whole_batches(at_angles, name):
    labels, x = np.array([0, 0, 1, 1]), at_angles(3, 50, 20, 95)
    plain = construct(name, reduction="none")
    expected = plain(np.tile(labels, 2), np.concatenate([x, turned(x, 0.3)]))
    expected = np.asarray(expected).reshape(2, 4).mean(axis=0)
    loss = with_references(Copies(1, angle=0.3), loss=getattr(losses, name))
    np.testing.assert_allclose(loss(labels, x), expected, rtol=1e-5)
    message = "sources whose rows are anchors like any others"
    for source in Copies(1, anchors=False), Copies(1, exclude_own_copies=True):
        with pytest.raises(ValueError, match=message):
            getattr(losses, name)(references=[source])


def test_losses_of_a_sum_share_a_source(at_angles):
    source = Fixed(at_angles(30), [1])
    loss = losses.Contrastive(references=[source]) + losses.MultiSimilarity(
        references=[source]
    )
    loss.build(2)
    for times in (1, 2):
        with step.of({}, training=True):
            loss(np.array([4, 5]), at_angles(0, 60))
        assert len(source.seen) == times


def test_rejects_references_that_are_no_sources():
    with pytest.raises(ValueError, match="`references` must be sources of"):
        losses.Contrastive(references=[keras.layers.Identity()])


def test_lists_the_layers_it_needs():
    source = Fixed([[1, 0]], [1])
    assert losses.Contrastive(references=[source]).layers == [source]
    loss = built("ProxyNCA")
    assert loss.layers == [loss.proxies]


def test_a_step_ends_as_it_began():
    with step.of({"index": 1}, training=True):
        with step.of({"index": 2}, training=False):
            assert step.fields == {"index": 2} and step.training is False
        assert step.fields == {"index": 1} and step.training is True
        with pytest.raises(RuntimeError), step.of({}, training=False):
            raise RuntimeError
        assert step.fields == {"index": 1}
    assert step.fields == {} and step.training is False


# --- weights of its own ---


@each_proxy_loss
def test_refuses_to_train_nothing_in_a_plain_model(name):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile("sgd", loss=getattr(losses, name)(num_classes=3))
    message = f"{name} has weights of its own, .* wrap the embedder in kerasdml.Metric"
    with pytest.raises(ValueError, match=message):
        model.fit(np.eye(2), np.array([0, 1]), verbose=0)


def test_a_loss_without_weights_trains_a_plain_model(at_angles):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.05), loss=losses.MultiSimilarity())
    x, labels = at_angles(0, 20, 40, 60), np.array([0, 0, 1, 1])
    history = model.fit(x, labels, epochs=8, shuffle=False, verbose=0).history["loss"]
    assert history[-1] < history[0]


@each_proxy_loss
def test_names_its_weights_after_itself(name):
    loss = built(name)
    assert loss.proxies.points.path == f"{loss.name}/proxies/points"


def test_building_twice_keeps_the_weights():
    loss = built("ProxyNCA")
    before = keras.ops.convert_to_numpy(loss.proxies.points)
    loss.build(2)
    np.testing.assert_array_equal(loss.proxies.points, before)


@each_proxy_loss
@pytest.mark.parametrize("num_classes", [1, 0, 2.0, "3"])
def test_rejects_a_number_of_classes_that_is_none(name, num_classes):
    with pytest.raises(ValueError, match="`num_classes` must be an integer of at lea"):
        getattr(losses, name)(num_classes=num_classes)


def test_takes_a_number_of_classes_that_numpy_counted():
    loss = losses.ProxyNCA(num_classes=np.max(np.array([0, 4, 2])) + 1)
    assert loss.get_config()["num_classes"] == 5


@pytest.mark.parametrize("name", ["ArcFace", "ProxyNCA"])
def test_proxy_losses_with_a_cost_an_example_take_weights(name):
    loss = built(name)
    labels, x, weights = np.array([0, 1]), np.eye(2, dtype="float32"), [1.0, 3.0]
    costs = np.array([float(loss(labels[i : i + 1], x[i : i + 1])) for i in range(2)])
    value = loss(labels, x, np.array(weights, "float32"))
    np.testing.assert_allclose(value, np.mean(weights * costs), rtol=1e-5)


def test_a_loss_with_a_cost_a_class_refuses_weights():
    with pytest.raises(ValueError, match="ProxyAnchor has no cost of its own for each"):
        built("ProxyAnchor")(np.array([0]), np.eye(2)[:1], np.ones(1))


# --- labels ---


@each_proxy_loss
@pytest.mark.parametrize("labels, seen", [([0, 3], "0 … 3"), ([2, -2], "-2 … 2")])
def test_rejects_labels_outside_the_classes(name, labels, seen):
    message = rf"Labels must be 0 … 2 for `num_classes=3` .* Received: {seen}\."
    with pytest.raises(ValueError, match=message):
        built(name)(np.array(labels), np.eye(2))


@each_proxy_loss
@pytest.mark.parametrize("labels", [[0, 3], [0, -2]])
def test_labels_outside_the_classes_give_nan_in_a_compiled_step(name, labels):
    loss = built(name)
    function = compiled(lambda y, x: loss(y, x))
    x = keras.ops.convert_to_tensor(np.eye(2, dtype="float32"))
    inside = function(keras.ops.convert_to_tensor(np.array([0, 2])), x)
    outside = function(keras.ops.convert_to_tensor(np.array(labels)), x)
    assert np.isfinite(float(inside)) and np.isnan(float(outside))


@each_proxy_loss
def test_an_example_without_a_class_has_no_cost(name):
    loss, x = built(name), np.array([(1, 0), (0.6, 0.8)], "float32")
    _, gradient = value_and_gradient(lambda x: loss(np.array([2, -1]), x), x)
    assert (gradient[1] == 0).all() and (gradient[0] != 0).any()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint16", "int32", "uint32"])
@pytest.mark.parametrize("name", ["ProxyNCA", "ProxyAnchor"])
def test_takes_labels_of_any_integer_type(name, dtype):
    # 300 classes do not fit into a byte, and -1 into no unsigned number.
    loss = built(name, num_classes=300)
    labels, x = np.array([0, 0, 127, 127]), np.eye(4, 2, dtype="float32") + 0.5
    expected = loss(labels, x)
    np.testing.assert_array_equal(loss(labels.astype(dtype), x), expected)
    tensor = keras.ops.convert_to_tensor(labels.astype(dtype))
    np.testing.assert_array_equal(loss(tensor, x), expected)


def test_a_byte_of_255_is_a_class_like_any_other(at_angles):
    loss = losses.MultiSimilarity()
    labels, x = np.array([255, 255, 3], "uint8"), at_angles(0, 20, 40)
    np.testing.assert_array_equal(loss(labels, x), loss(labels.astype("int64"), x))


def test_takes_labels_as_a_list(at_angles):
    loss, x = losses.MultiSimilarity(), at_angles(0, 20, 40)
    np.testing.assert_array_equal(loss([0, 0, 1], x), loss(np.array([0, 0, 1]), x))


def test_rejects_labels_that_are_no_ids_in_a_compiled_step():
    loss = losses.MultiSimilarity()
    labels = keras.ops.convert_to_tensor(np.zeros(2, "float32"))
    with pytest.raises(ValueError, match="`data.encode` makes them of anything. Rece"):
        compiled(lambda y: loss(y, np.eye(2, dtype="float32")))(labels)


def test_on_jax_rejects_ids_beyond_32_bits():
    if keras.backend.backend() != "jax":
        pytest.skip("labels are 64-bit on TensorFlow")
    with pytest.raises(ValueError, match=r"below 2\^31. Received: 2147483648"):
        losses.MultiSimilarity()(np.array([2**31, 0]), np.eye(2, dtype="float32"))


# --- row_blocks ---


@pytest.mark.parametrize("blocks", [2, 5, 50])
@pytest.mark.parametrize(
    "loss",
    [
        losses.Contrastive(average="pairs"),
        losses.MultiSimilarity(average="active", miner=miners.MultiSimilarity()),
        losses.Triplet(similarity="euclidean"),
        losses.Triplet(negatives="semi_hard"),
    ],
    ids=lambda x: type(x).__name__,
)
def test_row_blocks_change_neither_value_nor_gradient(loss, blocks):
    labels = np.random.default_rng(0).integers(0, 5, size=23)
    x = np.random.default_rng(1).normal(size=(23, 4)).astype("float32")
    twin = type(loss).from_config({**loss.get_config(), "row_blocks": blocks})
    expected, slopes = value_and_gradient(lambda x: loss(labels, x), x)
    for how in (value_and_gradient, compiled_value_and_gradient):
        value, gradient = how(lambda x: twin(labels, x), x)
        np.testing.assert_allclose(value, expected, rtol=1e-6)
        np.testing.assert_allclose(gradient, slopes, rtol=1e-5, atol=1e-7)


def test_row_blocks_take_tags_and_references(at_angles):
    source = Fixed(at_angles(90, 30), [0, 1])
    costs = with_references(source, row_blocks=2)(np.array([0, 0]), at_angles(0, 60))
    np.testing.assert_allclose(costs[0], 1.866025, rtol=1e-5)
    tags = np.eye(3, dtype="int32")[[0, 0, 1]]
    x = at_angles(0, 30, 45)
    expected = losses.Contrastive()(tags, x)
    value = losses.Contrastive(row_blocks=2)(tags, x)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.parametrize("row_blocks", [0, 1.5])
def test_rejects_row_blocks_that_are_no_number_of_parts(row_blocks):
    with pytest.raises(ValueError, match="must be an integer of at least 1. Received"):
        losses.Contrastive(row_blocks=row_blocks)


def test_rejects_row_blocks_where_all_rows_are_needed_at_once():
    message = "LiftedStructure needs all rows of the batch at once"
    with pytest.raises(ValueError, match=message):
        losses.LiftedStructure(row_blocks=2)


# --- embeddings ---


def test_rejects_embeddings_of_another_size_than_it_was_built_for():
    loss = built("ArcFace", dim=2)
    with pytest.raises(ValueError, match="built for embeddings of size 2. Received: s"):
        loss(np.array([0, 1]), np.eye(3, dtype="float32")[:2])
    with pytest.raises(ValueError, match="has weights for embeddings of size 2; make"):
        loss.build(3)


def test_rejects_embeddings_that_are_no_rows():
    with pytest.raises(ValueError, match=r"of shape \(q, d\). Received: shape"):
        losses.Contrastive()(np.array([0, 1]), np.zeros((2, 1, 3), "float32"))


def test_rejects_another_number_of_labels_than_of_embeddings():
    with pytest.raises(ValueError, match="Received: 3 labels for 2 embeddings"):
        losses.Contrastive()(np.array([0, 1, 1]), np.eye(2, dtype="float32"))


# --- precision ---


def test_computes_in_float32_whatever_comes_and_whatever_the_policy(at_angles):
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_float16")
        loss = built("ProxyNCA")
        assert loss.proxies.points.dtype == "float32"
        for dtype in ("float16", "float32", "float64"):
            value = loss(np.array([0, 1]), at_angles(10, 80).astype(dtype))
            assert keras.backend.standardize_dtype(value.dtype) == "float32"
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("name", losses.__all__)
def test_computes_in_float64_if_asked(name):
    if keras.backend.backend() == "jax":
        pytest.skip("JAX has float64 only where a flag turns it on")
    loss = construct(name, dtype="float64")
    loss.build(5)
    x = np.random.default_rng(0).normal(size=(8, 5))
    labels = np.repeat(np.arange(4), 2)
    with with_fields(labels):
        value = loss(labels, x)
        # A change that float32 could not hold is seen.
        moved = loss(labels, x + 1e-9 * np.sin(np.arange(40)).reshape(8, 5))
    assert keras.backend.standardize_dtype(value.dtype) == "float64"
    assert float(moved) != float(value)
