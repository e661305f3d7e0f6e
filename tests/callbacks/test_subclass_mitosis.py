import keras
import numpy as np
import pytest

from kerasdml import MetricModel, data, losses
from kerasdml.callbacks import SubclassMitosis

# A class of two clouds of 200, one of a single cloud, and one too small to divide.
LABELS = np.repeat([3, 5, 8], [400, 150, 60])


def points():
    rng = np.random.default_rng(0)
    middles = np.repeat([-5.0, 5.0, 20.0, 40.0], [200, 200, 150, 60])
    return (middles + rng.normal(scale=0.3, size=610))[:, None].astype("float32")


def model_at_rest():
    """A model whose embeddings are its inputs."""
    embedder = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    model = MetricModel(embedder, ks=(1,))
    model.compile(keras.optimizers.SGD(0.0), loss=losses.StructuredGaussian())
    return model


def divided(epochs, **arguments):
    batches = data.cluster_batches(610, clusters=3, classes=3, per_class=2)
    mitosis = SubclassMitosis(batches, points(), LABELS, **arguments)
    mitosis.set_model(model_at_rest())
    found = []
    mitosis.on_train_begin()
    for epoch in range(epochs):
        mitosis.on_epoch_begin(epoch)
        found.append(batches.labels)
    return mitosis, found


def test_a_class_of_two_clouds_becomes_two_and_a_small_one_stays_whole():
    mitosis, (first, second) = divided(2, every_n_epochs=1, components=2)
    np.testing.assert_array_equal(first, np.repeat([0, 1, 2], [400, 150, 60]))
    assert set(second[:200]) | set(second[200:400]) == {0, 1}
    assert len(set(second[:200])) == len(set(second[200:400])) == 1
    assert set(second[550:]) == {4}
    np.testing.assert_array_equal(np.unique(second), np.arange(5))
    np.testing.assert_array_equal(mitosis.parents, [3, 3, 5, 5, 8])
    np.testing.assert_array_equal(mitosis.parents[second], LABELS)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_by_the_criterion_a_class_of_one_cloud_stays_whole(covariance):
    mitosis, _ = divided(2, every_n_epochs=1, components="bic", covariance=covariance)
    np.testing.assert_array_equal(mitosis.parents, [3, 3, 5, 8])


def test_the_schedule_divides_into_one_more_each_time_up_to_the_most():
    _, found = divided(9, every_n_epochs=2, min_class_size=400, min_per_component=80)
    counts = [len(np.unique(labels[:400])) for labels in found]
    assert counts == [1, 1, 2, 2, 3, 3, 4, 4, 4]
    for labels in found:
        np.testing.assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))


def test_a_part_has_so_many_examples_on_average():
    mitosis, _ = divided(2, every_n_epochs=1, components=4, min_per_component=150)
    np.testing.assert_array_equal(mitosis.parents, [3, 3, 5, 8])


def test_batches_are_of_sub_classes():
    pictures = np.random.default_rng(0).integers(0, 255, (240, 4, 4, 1), "uint8")
    labels = np.repeat([0, 1], 120)
    batches = data.cluster_batches(240, clusters=2, classes=2, per_class=4)
    train = data.images(pictures, size=4, batches=batches)
    whole = data.images(pictures, size=4)
    embedder = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
    model = MetricModel(embedder, ks=(1,))
    model.compile(keras.optimizers.SGD(0.0), loss=losses.StructuredGaussian())
    mitosis = SubclassMitosis(
        batches, whole, labels, every_n_epochs=1, components=3, covariance="diagonal"
    )
    model.fit(train, epochs=2, callbacks=[mitosis], verbose=0)
    assert len(mitosis.parents) == 6
    seen = batches.labels[batches(epoch=1)].reshape(-1, 2, 4)
    assert (seen == seen[..., :1]).all(), "of one sub-class side by side"
    assert set(seen.ravel()) == set(range(6))


def test_labels_kept_in_a_file_are_those_that_training_goes_on_with(tmp_path):
    arguments = {"every_n_epochs": 3, "path": tmp_path / "kept"}
    _, found = divided(5, **arguments)
    batches = data.cluster_batches(610, clusters=3, classes=3, per_class=2)
    shifted = points() + np.linspace(0, 30, 610, dtype="float32")[:, None]
    mitosis = SubclassMitosis(batches, shifted, LABELS, **arguments)
    mitosis.set_model(model_at_rest())
    mitosis.on_train_begin()
    mitosis.on_epoch_begin(4)
    np.testing.assert_array_equal(batches.labels, found[4])
    mitosis.on_epoch_begin(5)
    np.testing.assert_array_equal(batches.labels, found[4])
    mitosis.on_epoch_begin(6)
    assert (batches.labels != found[4]).any(), "a period begins"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"every_n_epochs": 0}, "`every_n_epochs` must be at least 1"),
        ({"start": 0}, "`start` must be at least 1"),
        ({"most": 1}, "`most` must be at least `start`. Received: start=2, most=1"),
        ({"components": "aic"}, "`components` must be 'schedule', 'bic' or a number"),
        ({"covariance": "tied"}, "`covariance` must be 'full' or 'diagonal'"),
    ],
)
def test_rejects(arguments, message):
    with pytest.raises(ValueError, match=message):
        divided(1, **arguments)


def test_rejects_another_number_of_labels_or_pictures():
    batches = data.cluster_batches(610, clusters=3, classes=3)
    with pytest.raises(ValueError, match="each of the 610 examples .* Received: 600"):
        SubclassMitosis(batches, points(), LABELS[:600])
    with pytest.raises(ValueError, match="each of the 610 examples. Received: 600"):
        SubclassMitosis(batches, points()[:600], LABELS)
    in_batches = data.images(np.zeros((600, 4, 4), "uint8"), size=4)
    mitosis = SubclassMitosis(batches, in_batches, LABELS, every_n_epochs=1)
    mitosis.set_model(
        keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
    )
    with pytest.raises(ValueError, match="each of the 610 examples. Received: 600"):
        mitosis.on_epoch_begin(1)
