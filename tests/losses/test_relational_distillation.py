import itertools

import keras
import numpy as np
import pytest

from kerasdml import MetricModel, losses
from kerasdml.losses import relational_distillation
from kerasdml.step import step
from tests.checkpoints import assert_interruption_changes_nothing
from tests.conftest import compiled_value_and_gradient, value_and_gradient

THREE = [[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]], [[0.0], [1.0], [2.0]]
FOUR = (
    [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 2.0]],
    [[0.0, 0.0, 0.0], [1.0, 0.0, 1.0], [0.0, 2.0, 1.0], [1.0, 1.0, 1.0]],
)
DISTANCES = {"distance_weight": 1.0, "angle_weight": 0.0}
ANGLES = {"distance_weight": 0.0, "angle_weight": 1.0}


def of(teacher, find=value_and_gradient, **arguments):
    """The loss as a function of the student, and how to call it."""
    loss = losses.RelationalDistillation(**arguments)

    def value(student):
        with step.of({"teacher": keras.ops.convert_to_tensor(teacher)}, False):
            return loss(np.zeros(len(student), int), student)

    return lambda student: find(value, np.asarray(student, teacher.dtype))


def random_batch(seed, count=9, dtype="float32"):
    generator = np.random.default_rng(seed)
    teacher, student = (generator.normal(size=(count, d)) for d in (5, 3))
    return teacher.astype(dtype), student.astype(dtype)


def huber(e):
    return e**2 / 2 if abs(e) <= 1 else abs(e) - 0.5


def slow(teacher, student, distance_weight, angle_weight, distinct):
    """The paper's sums, a pair and a triplet at a time; no two rows may be equal."""
    n, total = len(teacher), 0.0
    pairs, triplets = (list(itertools.permutations(range(n), k)) for k in (2, 3))
    sides = [np.linalg.norm(x[:, None] - x, axis=2) for x in (teacher, student)]
    means = [np.mean([d[p] for p in pairs]) for d in sides]
    for p in pairs:
        gap = sides[1][p] / means[1] - sides[0][p] / means[0]
        total += distance_weight * huber(gap) / (len(pairs) if distinct else n**2)
    for i, j, k in triplets:
        cosines = [
            (x[j] - x[i]) @ (x[k] - x[i]) / d[i, j] / d[i, k]
            for x, d in zip((teacher, student), sides, strict=True)
        ]
        gap = cosines[1] - cosines[0]
        total += angle_weight * huber(gap) / (len(triplets) if distinct else n**3)
    return total


@pytest.mark.parametrize(
    "arguments, expected",
    [
        # The teacher's sides 3, 4, 5 have the mean 4, the student's 1, 2, 1 have 4/3:
        # what is left of each pair of distances is 0, 0.5 and -0.5, twice each.
        (DISTANCES, 2 * (0.125 + 0.125) / 9),
        # Cosines 0, 0.6, 0.8 and 1, -1, 1: h is 0.5, 1.1, 0.02, twice each.
        (ANGLES, 2 * (0.5 + 1.1 + 0.02) / 27),
        ({}, 0.5 / 9 + 2 * 3.24 / 27),
        (DISTANCES | {"divide_by": "distinct"}, 0.5 / 6),
        (ANGLES | {"divide_by": "distinct"}, 3.24 / 6),
    ],
)
def test_values_worked_by_hand(arguments, expected):
    teacher, student = np.array(THREE[0], "float32"), THREE[1]
    value, _ = of(teacher, **arguments)(student)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_values_of_the_authors_code():
    teacher, student = np.array(FOUR[0], "float32"), np.array(FOUR[1])
    np.testing.assert_allclose(of(teacher, **DISTANCES)(student)[0], 0.0949983, 1e-5)
    np.testing.assert_allclose(of(teacher, **ANGLES)(student)[0], 0.1055677, 1e-5)


@pytest.mark.parametrize("distinct", [False, True])
def test_agrees_with_sums_over_pairs_and_triplets(distinct, monkeypatch):
    # 2 of the 9 vertices at a time, the last alone.
    monkeypatch.setattr(relational_distillation, "_ANGLES", 100)
    teacher, student = random_batch(seed=1)
    divide_by = "distinct" if distinct else "all"
    function = of(teacher, compiled_value_and_gradient, divide_by=divide_by)
    value, gradient = function(student)
    double = teacher.astype("float64"), student.astype("float64")
    expected = slow(*double, 1.0, 2.0, distinct)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    way, delta = np.random.default_rng(2).normal(size=student.shape), 1e-5
    up, down = (
        slow(double[0], double[1] + x * way, 1.0, 2.0, distinct)
        for x in (delta, -delta)
    )
    slope = (up - down) / (2 * delta)
    np.testing.assert_allclose(np.sum(gradient * way), slope, rtol=1e-3)


def test_neither_size_nor_place_nor_axes_matter():
    teacher, student = random_batch(seed=3)
    rotation, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(5, 5)))
    expected, _ = of(teacher)(student)
    np.testing.assert_allclose(of(teacher)(7 * student + 3)[0], expected, rtol=1e-5)
    np.testing.assert_allclose(of(1e3 * teacher - 2e3)(student)[0], expected, rtol=1e-4)
    turned = (teacher @ rotation).astype("float32")
    np.testing.assert_allclose(of(turned)(student)[0], expected, rtol=1e-4)
    order = np.random.default_rng(5).permutation(len(teacher))
    permuted = of(teacher[order])(student[order])
    np.testing.assert_allclose(permuted[0], expected, rtol=1e-5)


def test_a_student_that_is_the_teacher_has_nothing_to_learn():
    teacher, _ = random_batch(seed=6)
    value, gradient = of(teacher)(np.pad(teacher, [(0, 0), (0, 2)]))
    assert value < 1e-12 and np.abs(gradient).max() < 1e-6


def test_copies_have_angles_without_a_gradient():
    # Two equal students, which the authors' code gives a gradient of 5e10.
    teacher = np.array([[0, 0], [1, 0], [0, 1], [2, 2]], "float32")
    student = np.array([[0, 0], [1, 0], [1, 0], [2, 1]], "float32")
    value, gradient = of(teacher, **ANGLES)(student)
    assert np.isfinite(value) and 0 < np.abs(gradient).max() < 1
    # Angles with a side from one to the other are left out, of either network.
    np.testing.assert_allclose(of(student, **ANGLES)(teacher)[0], value, rtol=1e-5)
    assert of(student)(student)[0] < 1e-12


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_examples_have_nothing_to_compare(count):
    teacher, student = random_batch(seed=7, count=count)
    for divide_by in ("all", "distinct"):
        value, gradient = of(teacher, divide_by=divide_by)(student)
        assert value < 1e-12 and np.abs(gradient).max() < 1e-6


def networks():
    teacher = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(6, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(5),
        ]
    )
    return teacher, keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])


def data():
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    return x, np.zeros(32, int)


def trained(student, loss, y, epochs=3, **options):
    model = MetricModel(student)
    model.compile(keras.optimizers.Adam(0.01), loss=loss, **options)
    model.fit(data()[0], y, epochs=epochs, batch_size=16, shuffle=False, verbose=0)
    return model


def test_a_given_teacher_teaches_as_its_embeddings_do_and_stays_as_it_is():
    keras.utils.set_random_seed(0)
    teacher, student = networks()
    (x, labels), twin = data(), keras.models.clone_model(student)
    twin.set_weights(student.get_weights())
    before = teacher.get_weights()
    precomputed = {"label": labels, "teacher": teacher.predict(x, verbose=0)}
    loss = losses.RelationalDistillation(teacher=teacher)
    teacher.layers[0].kernel.assign(keras.ops.zeros((4, 6)))  # the copy has its own
    trained(student, loss, labels)
    trained(twin, losses.RelationalDistillation(), precomputed)
    for ours, theirs in zip(student.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    for now, then in zip(loss.teacher.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert not loss.teacher.trainable_weights and teacher.trainable_weights


def test_batches_of_any_size_are_taught_alike_by_xla(monkeypatch):
    # Batches of 12 and 8, two or four vertices at a time.
    monkeypatch.setattr(relational_distillation, "_ANGLES", 250)
    y = {"label": data()[1], "teacher": data()[0][:, :3] ** 2}
    found = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(0)
        _, student = networks()
        model = MetricModel(student)
        loss = losses.RelationalDistillation()
        model.compile("adam", loss=loss, jit_compile=jit_compile)
        model.fit(data()[0], y, batch_size=12, shuffle=False, verbose=0)
        found.append(student.get_weights()[0])
    np.testing.assert_allclose(*found, atol=1e-5)


def test_a_network_that_teaches_itself_is_taught_by_what_it_was():
    keras.utils.set_random_seed(0)
    _, student = networks()
    loss = losses.RelationalDistillation(teacher=student) + losses.EmbeddingNorm()
    before = student.get_weights()
    trained(student, loss, data()[1])
    assert np.abs(student.get_weights()[0] - before[0]).max() > 1e-3
    (taught,) = loss.layers
    np.testing.assert_array_equal(taught.get_weights()[0], before[0])


def make_model():
    keras.utils.set_random_seed(0)
    teacher, student = networks()
    model = MetricModel(student)
    model.compile("adam", loss=losses.RelationalDistillation(teacher=teacher))
    return model


def batch(step):
    rows = slice(8 * (step % 4), 8 * (step % 4) + 8)
    return tuple(x[rows] for x in data())


def test_an_interruption_changes_nothing():
    assert_interruption_changes_nothing(make_model, batch)


@pytest.mark.parametrize(
    "rows, message",
    [
        ((30, 5), r"as many rows .* Received: .*'label': 32, 'teacher': 30"),
        ((32,), r"must be of shape \(q, d\)"),
    ],
)
def test_a_teacher_of_another_length_is_refused(rows, message):
    _, student = networks()
    y = {"label": data()[1], "teacher": np.zeros(rows, "float32")}
    with pytest.raises(ValueError, match=message):
        trained(student, losses.RelationalDistillation(), y)


def test_a_batch_that_the_teacher_has_not_seen_is_refused():
    teacher, student = random_batch(seed=8)
    with pytest.raises(ValueError, match="one embedding for each of .* 9 for 8"):
        of(teacher)(student[:8])


def test_a_plain_model_is_no_place_for_a_teacher():
    teacher, student = networks()
    student.compile("adam", loss=losses.RelationalDistillation(teacher=teacher))
    with pytest.raises(ValueError, match="wrap the embedder in kerasdml.MetricModel"):
        student.fit(*data(), verbose=0)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"distance_weight": -1.0}, "must not be negative"),
        ({"distance_weight": 0.0, "angle_weight": 0.0}, "nor both 0"),
        ({"divide_by": "official"}, "must be 'all' or 'distinct'"),
        ({"teacher": "resnet50"}, "must be a built functional or sequential"),
        ({"teacher": keras.Sequential([keras.layers.Dense(2)])}, "must be a built"),
        (
            {"teacher": keras.Sequential([keras.Input((8, 3)), keras.layers.Dense(3)])},
            r"output shape \(None, 8, 3\)",
        ),
    ],
)
def test_rejects_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        losses.RelationalDistillation(**arguments)
