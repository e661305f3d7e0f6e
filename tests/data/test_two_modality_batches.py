import numpy as np
import pytest

from kerasdml import data

# Of each class how many examples of either modality.
COUNTS = [(8, 8), (3, 9), (1, 1), (20, 2), (5, 6)]


def example(counts=COUNTS):
    """Labels and modalities in random order."""
    rows = [
        (3 * label - 4, modality)
        for label, sizes in enumerate(counts)
        for modality, size in enumerate(sizes)
        for _ in range(size)
    ]
    return np.random.default_rng(0).permutation(rows).T


@pytest.mark.parametrize("classes, per_modality", [(3, 2), (5, 4), (1, 1)])
@pytest.mark.parametrize("epoch", [0, 3])
def test_a_batch_holds_both_modalities_of_each_of_its_classes(
    classes, per_modality, epoch
):
    labels, modality = example()
    batches = data.two_modality_batches(labels, modality, classes, per_modality)
    planned = batches(epoch)
    assert planned.shape == (batches.steps, batches.batch_size)
    assert batches.batch_size == 2 * classes * per_modality
    by_class = planned.reshape(batches.steps, classes, 2, per_modality)
    assert (labels[by_class] == labels[by_class[:, :, :1, :1]]).all()
    assert (modality[by_class] == [[0], [1]]).all()
    for row in labels[by_class[:, :, 0, 0]]:
        assert len(set(row)) == classes
    assert set(planned.ravel()) == set(range(len(labels)))


def test_within_a_class_and_modality_all_are_seen_about_as_often():
    labels, modality = example()
    seen = data.two_modality_batches(labels, modality, 3, 2)(1).ravel()
    counts = np.bincount(seen, minlength=len(labels))
    for label in np.unique(labels):
        for value in (0, 1):
            own = counts[(labels == label) & (modality == value)]
            assert own.max() - own.min() <= 1


def test_classes_and_modalities_that_divide_give_every_example_once():
    labels, modality = example([(8, 8)] * 6)
    batches = data.two_modality_batches(labels, modality, 3, 4)
    np.testing.assert_array_equal(np.sort(batches(0), axis=None), np.arange(96))


def test_an_epoch_follows_from_seed_and_number_alone():
    labels, modality = example()
    plans = [
        data.two_modality_batches(labels, modality, 3, 2, seed)(epoch).tobytes()
        for seed in range(2)
        for epoch in range(2)
    ]
    assert len(set(plans)) == 4
    batches = data.two_modality_batches(labels, modality, 3, 2, 1)
    batches(0)
    assert batches(1).tobytes() == plans[3]


def test_modalities_go_with_the_images():
    labels, modality = example([(4, 4)] * 3)
    pictures = np.zeros((24, 4, 4, 1), "uint8")
    batches = data.two_modality_batches(labels, modality, 2, 2)
    train = data.images(
        pictures, labels, size=4, batches=batches, fields={"modality": modality}
    )
    _, y = next(iter(train))
    np.testing.assert_array_equal(y["modality"], [0, 0, 1, 1] * 2)
    np.testing.assert_array_equal(y["label"], labels[batches(0)[0]])


@pytest.mark.parametrize(
    "modality, changes, message",
    [
        ([0, 0, 0, 0], {}, "of two different values. Received: .* 1 different"),
        ([0, 1, 2, 1], {}, "of two different values. Received: .* 3 different"),
        ([0, 1], {}, r"one entry per label.* shape \(2,\) for 4 labels"),
        ([0, 0, 0, 1], {}, "but 1 have none of 1, among them 5. Leave them out"),
        ([0, 1, 0, 1], {"per_modality": 0}, "at least 1. Received: per_modality=0"),
        ([0, 1, 0, 1], {"classes": 3}, "`classes=3` needs at least .* Received: 2"),
        ([0, 1, 0, 1], {"seed": -1}, "`seed` at least 0"),
    ],
)
def test_arguments_out_of_range_are_refused(modality, changes, message):
    arguments = {"classes": 2, "per_modality": 1, **changes}
    with pytest.raises(ValueError, match=message):
        data.two_modality_batches([5, 5, 9, 9], modality, **arguments)
