import warnings

import numpy as np
import pytest
import tensorflow as tf

from kerasdml import data


def pictures(n=10, height=6, width=8, channels=3):
    shape = (n, height, width, channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


class Planned:
    """What `balanced_batches` returns, with the positions of each epoch written out."""

    def __init__(self, *epochs):
        self.epochs = np.array(epochs)
        self.steps = self.epochs.shape[1]

    def __call__(self, epoch):
        return self.epochs[epoch % len(self.epochs)]


def take(dataset, count):
    return [
        tf.nest.map_structure(lambda x: x.numpy(), batch)
        for batch in dataset.take(count)
    ]


@pytest.fixture
def files(tmp_path):
    """Four grey pictures as PNG files, which lose nothing."""
    array = pictures(4, channels=1)
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for path, picture in zip(paths, array, strict=True):
        path.write_bytes(tf.io.encode_png(picture).numpy())
    return array, paths


def jpeg(picture):
    return tf.io.encode_jpeg(picture, quality=100).numpy()


def test_one_pass_gives_every_picture_in_order():
    array, labels = pictures(), np.arange(10)
    dataset = data.images(array, labels, size=(6, 8), batch_size=4)
    batches = take(dataset, -1)
    assert dataset.cardinality() == len(batches) == 3
    assert [len(x) for x, _ in batches] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), array)
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), labels)
    assert batches[0][0].dtype == np.float32


def test_shapes_are_static():
    batches = data.balanced_batches(np.arange(10) % 2, classes=2, per_class=3)
    dataset = data.images(
        pictures(), np.arange(10), size=(5, 7), batches=batches, augment=True
    )
    assert [spec.shape for spec in dataset.element_spec] == [(6, 5, 7, 3), (6,)]
    one_pass = data.images(pictures(), np.arange(10), size=5)
    assert [spec.shape for spec in one_pass.element_spec] == [(None, 5, 5, 3), (None,)]


def test_epochs_follow_the_plan_and_never_end():
    array, labels = pictures(), 100 + np.arange(10)
    planned = Planned([[1, 2], [3, 4]], [[5, 5], [0, 9]])
    dataset = data.images(array, labels, size=(6, 8), batches=planned)
    assert dataset.steps_per_epoch == 2
    batches = take(dataset, 5)
    order = [[1, 2], [3, 4], [5, 5], [0, 9], [1, 2]]
    for (x, y), positions in zip(batches, order, strict=True):
        np.testing.assert_array_equal(x, array[positions])
        np.testing.assert_array_equal(y, labels[positions])


class Changing(Planned):
    """Batches that change, and bring labels that do."""

    changes = True

    def __init__(self, *epochs, labels):
        super().__init__(*epochs)
        self.labels = labels


def test_batches_that_change_are_one_epoch_a_pass_planned_when_it_begins():
    array = pictures()
    planned = Changing([[1, 2], [3, 4]], [[5, 5], [0, 9]], labels=np.arange(10))
    dataset = data.images(array, size=(6, 8), batches=planned)
    assert dataset.cardinality() == dataset.steps_per_epoch == 2
    assert [spec.shape for spec in dataset.element_spec] == [(2, 6, 8, 3), (2,)]
    for shift, order in [(0, [[1, 2], [3, 4]]), (100, [[7, 7], [0, 9]])]:
        planned.labels = np.arange(10) + shift
        planned.epochs[1, 0] = 7  # after the data set was made
        batches = take(dataset, -1)
        assert len(batches) == 2
        for (x, y), positions in zip(batches, order, strict=True):
            np.testing.assert_array_equal(x, array[positions])
            np.testing.assert_array_equal(y, np.add(positions, shift))


def test_batches_that_change_may_be_of_files(files):
    array, paths = files
    planned = Changing([[1, 2], [3, 0]], labels=np.arange(4))
    dataset = data.images(paths, size=(6, 8), batches=planned)
    assert dataset.cardinality() == 2
    assert [spec.shape for spec in dataset.element_spec] == [(2, 6, 8, 1), (2,)]
    for (x, y), positions in zip(take(dataset, -1), [[1, 2], [3, 0]], strict=True):
        np.testing.assert_array_equal(x, array[positions])
        np.testing.assert_array_equal(y, positions)


def test_two_kinds_of_labels_are_refused():
    planned = Changing([[1, 2]], labels=np.arange(10))
    with pytest.raises(ValueError, match="`labels` must be None: Changing brings its"):
        data.images(pictures(), np.arange(10), size=6, batches=planned)


def test_training_resumes_at_any_epoch():
    labels = np.arange(12) % 3
    batches = data.balanced_batches(labels, classes=2, per_class=2)
    kwargs = {"size": 6, "batches": batches, "augment": True}
    whole = take(data.images(pictures(12), labels, **kwargs), 2 * batches.steps)
    rest = data.images(pictures(12), labels, **kwargs, initial_epoch=1)
    for (x, y), (again_x, again_y) in zip(
        whole[batches.steps :], take(rest, batches.steps), strict=True
    ):
        np.testing.assert_array_equal(x, again_x)
        np.testing.assert_array_equal(y, again_y)


def test_a_picture_looks_the_same_in_any_batch_of_an_epoch():
    kwargs = {"size": 8, "augment": True}
    one = data.images(pictures(), batches=Planned([[1, 2, 3, 4]]), **kwargs)
    other = data.images(pictures(), batches=Planned([[4, 9], [7, 1]]), **kwargs)
    (first,), (left, right) = take(one, 1), take(other, 2)
    np.testing.assert_allclose(first[3], left[0], atol=1e-4)
    np.testing.assert_allclose(first[0], right[1], atol=1e-4)


def test_epochs_seeds_and_copies_in_a_batch_look_different():
    def first(epoch, seed):
        planned = Planned([[3, 3, 3]])
        dataset = data.images(
            pictures(),
            size=8,
            batches=planned,
            augment=True,
            seed=seed,
            initial_epoch=epoch,
        )
        return list(take(dataset, 1)[0])

    views = first(0, 0) + first(1, 0) + first(0, 1)
    for i, one in enumerate(views):
        for other in views[:i]:
            assert np.abs(one - other).max() > 1


def test_the_first_copy_looks_as_it_would_alone():
    kwargs = {"size": 8, "augment": True}
    (copies,) = take(data.images(pictures(), batches=Planned([[3, 3]]), **kwargs), 1)
    (alone,) = take(data.images(pictures(), batches=Planned([[3, 5]]), **kwargs), 1)
    np.testing.assert_allclose(copies[0], alone[0], atol=1e-4)


def views_of(source, positions, views=2, **kwargs):
    """The first batch, its views in an axis of their own, and its labels."""
    kwargs = {"size": 8, "augment": True, **kwargs}
    batches = Planned([positions])
    ((x, y),) = take(data.images(source, batches=batches, views=views, **kwargs), 1)
    return x.reshape(-1, views, *x.shape[1:]), y


def test_views_lie_side_by_side_under_the_position_of_their_picture():
    x, y = views_of(pictures(), [7, 2, 4], views=3, augment=False, size=(6, 8))
    np.testing.assert_array_equal(y, [7, 7, 7, 2, 2, 2, 4, 4, 4])
    np.testing.assert_array_equal(x[:, 2], pictures()[[7, 2, 4]])


def test_shapes_of_views_are_static():
    kwargs = {"size": 8, "augment": True, "views": 2}
    planned = data.images(pictures(), batches=Planned([[3, 1, 2]]), **kwargs)
    assert [spec.shape for spec in planned.element_spec] == [(6, 8, 8, 3), (6,)]
    ((x, y),) = take(data.images(pictures(), **kwargs), -1)
    assert x.shape == (20, 8, 8, 3) and y.shape == (20,)


def test_the_first_view_looks_as_it_would_alone():
    (alone,) = take(data.images(pictures(), size=8, augment=True), 1)
    x, _ = views_of(pictures(), [7, 2, 4])
    np.testing.assert_allclose(x[:, 0], alone[[7, 2, 4]], atol=1e-4)
    more, _ = views_of(pictures(), [4, 9], views=3)
    np.testing.assert_allclose(more[0, :2], x[2], atol=1e-4)


def test_views_are_varied_independently():
    # A picture of which mirroring alone changes anything: of two views as many agree as
    # differ, and it would be otherwise if one followed from the other.
    source = np.zeros((400, 4, 4, 1), np.uint8)
    source[:, :, 0] = 255
    flip = data.Augment(scale=(1.0, 1.0))
    x, _ = views_of(source, np.arange(400), augment=flip, size=4)
    mirrored = x[:, :, 0, 0, 0] < 128
    counts = np.unique(mirrored @ [1, 2], return_counts=True)[1]
    # Each of the four cases 100 times, with a standard deviation of 8.7.
    np.testing.assert_allclose(counts, 100, atol=40)
    other, _ = views_of(source, np.arange(400), augment=flip, size=4, seed=1)
    assert (x != other).any()


def test_views_of_files_and_of_arrays_are_the_same(files):
    array, paths = files
    expected, labels = views_of(array, [3, 0])
    x, y = views_of(paths, [3, 0])
    np.testing.assert_allclose(x, expected, atol=1e-4)
    np.testing.assert_array_equal(y, labels)


def test_views_are_labelled_apart_from_classes():
    pack = data.Pack(pictures(), np.arange(10) // 5, ["a", "b"])
    fields = {"class": pack.labels}
    _, y = views_of(pack, [7, 2], fields=fields)
    np.testing.assert_array_equal(y["label"], [7, 7, 2, 2])
    np.testing.assert_array_equal(y["class"], [1, 1, 0, 0])


def test_another_picture_stands_in_for_views_of_a_broken_one(broken):
    paths, _ = broken
    with pytest.warns(UserWarning, match="2 of 4 files"):
        x, y = views_of(paths, [0, 1], on_error="skip", augment=False)
    np.testing.assert_array_equal(x[0], x[1])
    np.testing.assert_array_equal(y, [0, 0, 0, 0])


def test_augmentation_is_told_by_arguments_or_object():
    still = {"flip": False, "scale": (1.0, 1.0)}
    for augment in (still, data.Augment(**still), False):
        (x,) = take(data.images(pictures(), size=(6, 8), augment=augment), 1)
        np.testing.assert_allclose(x, pictures(), atol=1e-3)


@pytest.mark.parametrize("kind", ["array", "files"])
def test_resizing_averages_over_what_a_pixel_covers(tmp_path, kind):
    # Every fourth column is 200. Without antialiasing a result pixel of 16 to 4 looks
    # between the two columns at its middle, 0 both; with it, at eight columns, of which
    # the two bright ones weigh a quarter together.
    stripes = np.tile(np.array([200, 0, 0, 0], np.uint8), (1, 16, 4))[..., None]
    (tmp_path / "x.png").write_bytes(tf.io.encode_png(stripes[0]).numpy())
    source = stripes if kind == "array" else [tmp_path / "x.png"]
    (x,) = take(data.images(source, size=4), 1)
    np.testing.assert_allclose(x[0, :, 1:3], 50, atol=1e-3)


def test_fields_go_beside_the_label():
    array, labels = pictures(), np.arange(10)
    fields = {"index": np.arange(10) * 10, "teacher": np.eye(10, dtype="float32")}
    dataset = data.images(
        array, labels, size=6, fields=fields, batches=Planned([[7, 2]])
    )
    ((_, y),) = take(dataset, 1)
    assert set(y) == {"label", "index", "teacher"}
    np.testing.assert_array_equal(y["label"], [7, 2])
    np.testing.assert_array_equal(y["index"], [70, 20])
    np.testing.assert_array_equal(y["teacher"], np.eye(10)[[7, 2]])


def test_large_labels_stay_apart():
    labels = np.array([2**24, 2**24 + 1, 2**40])
    ((_, y),) = take(data.images(pictures(3), labels, size=6), 1)
    np.testing.assert_array_equal(y, labels)


def test_labels_of_any_integer_type_come_as_int64():
    labels = np.array([0, 200, 255], np.uint8)
    ((_, y),) = take(data.images(pictures(3), labels, size=6), 1)
    assert y.dtype == np.int64
    np.testing.assert_array_equal(y, labels)


def test_multi_hot_labels_pass_as_they_are():
    labels = np.eye(10, 4, dtype=np.uint8)
    ((_, y),) = take(data.images(pictures(), labels, size=6), 1)
    np.testing.assert_array_equal(y, labels)


def test_pictures_alone_where_there_are_no_labels():
    (x,) = take(data.images(pictures(), size=(6, 8)), 1)
    np.testing.assert_array_equal(x, pictures())


def test_grey_pictures_need_no_channel_axis():
    array = pictures(channels=1)
    (x,) = take(data.images(array[..., 0], size=(6, 8)), 1)
    np.testing.assert_array_equal(x, array)


def test_channels_are_changed_if_asked():
    grey = pictures(channels=1)
    (x,) = take(data.images(grey, size=(6, 8), channels=3), 1)
    np.testing.assert_array_equal(x, np.repeat(grey, 3, axis=-1))
    (x,) = take(data.images(np.repeat(grey, 3, axis=-1), size=(6, 8), channels=1), 1)
    # Weights of red, green and blue add up to 1 but for the fourth digit.
    np.testing.assert_allclose(x, grey, atol=1)


def test_a_pack_brings_its_labels():
    pack = data.Pack(pictures(), 5 + np.arange(10), [str(i) for i in range(15)])
    ((_, y),) = take(data.images(pack, size=6), 1)
    np.testing.assert_array_equal(y, pack.labels)
    ((_, y),) = take(data.images(pack, np.arange(10), size=6), 1)
    np.testing.assert_array_equal(y, np.arange(10))


def test_files_are_decoded_in_order(files):
    array, paths = files
    dataset = data.images(paths, np.arange(4), size=(6, 8), batch_size=3)
    batches = take(dataset, -1)
    assert dataset.cardinality() == len(batches) == 2
    assert dataset.element_spec[0].shape == (None, 6, 8, 1)
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), array)


def test_files_follow_the_plan(files):
    array, paths = files
    planned = Planned([[3, 0]], [[1, 1]])
    dataset = data.images(paths, np.arange(4), size=(6, 8), batches=planned)
    assert dataset.element_spec[0].shape == (2, 6, 8, 1)
    (x, y), (later_x, _) = take(dataset, 2)
    np.testing.assert_array_equal(x, array[[3, 0]])
    np.testing.assert_array_equal(y, [3, 0])
    np.testing.assert_array_equal(later_x, array[[1, 1]])


def test_files_are_augmented_as_arrays_are(files):
    array, paths = files
    kwargs = {"size": (6, 8), "augment": True, "batches": Planned([[3, 0, 3]])}
    (expected,) = take(data.images(array, **kwargs), 1)
    (x,) = take(data.images(paths, **kwargs), 1)
    np.testing.assert_allclose(x, expected, atol=1e-4)


def test_files_of_different_size_and_kind_make_one_batch(tmp_path):
    colour = np.full((20, 30, 3), 90, np.uint8)
    (tmp_path / "a.jpg").write_bytes(jpeg(colour))
    (tmp_path / "b.png").write_bytes(tf.io.encode_png(colour[:7, :9, :1]).numpy())
    opaque = np.concatenate([colour, np.full((20, 30, 1), 255, np.uint8)], axis=-1)
    (tmp_path / "c.png").write_bytes(tf.io.encode_png(opaque).numpy())
    paths = sorted(tmp_path.iterdir())
    (x,) = take(data.images(paths, size=5), 1)
    assert x.shape == (3, 5, 5, 3)
    np.testing.assert_allclose(x, 90, atol=2)
    (x,) = take(data.images(paths, size=5, channels=1), 1)
    assert x.shape == (3, 5, 5, 1)
    (x,) = take(data.images(paths[:1], size=5), 1)
    assert x.shape == (1, 5, 5, 3)


@pytest.fixture
def broken(files):
    """Four files, of which 1 is empty and 2 breaks off, and their two classes."""
    _, paths = files
    paths[1].write_bytes(b"")
    whole = jpeg(pictures(1, 32, 32)[0])
    paths[2] = paths[2].with_suffix(".jpg")
    paths[2].write_bytes(whole[: len(whole) // 2])
    return paths, np.array([0, 0, 1, 1])


def test_files_that_cannot_be_read_are_counted_and_named(broken):
    paths, labels = broken
    with pytest.raises(ValueError, match=r"2 of 4 files hold no whole.*1.png, .*2.jpg"):
        data.images(paths, labels, size=6)


def test_they_are_left_out_if_asked(broken):
    paths, labels = broken
    with pytest.warns(UserWarning, match=r"2 of 4 files hold .*1.png, .*2.jpg"):
        dataset = data.images(paths, labels, size=6, on_error="skip")
    ((x, y),) = take(dataset, -1)
    assert len(x) == 2
    np.testing.assert_array_equal(y, [0, 1])


def test_in_planned_batches_others_of_their_class_stand_in(broken):
    paths, labels = broken
    planned = Planned([[0, 1, 2, 3]])
    with pytest.warns(UserWarning, match="2 of 4 files"):
        dataset = data.images(
            paths,
            labels,
            size=6,
            batches=planned,
            on_error="skip",
            fields={"index": np.arange(4)},
        )
    ((x, y),) = take(dataset, 1)
    np.testing.assert_array_equal(y["label"], labels)
    np.testing.assert_array_equal(y["index"], [0, 0, 3, 3])
    np.testing.assert_array_equal(x[0], x[1])


def test_a_planned_class_without_any_readable_picture_is_refused(broken):
    paths, _ = broken
    with (
        pytest.warns(UserWarning, match="2 of 4 files"),
        pytest.raises(ValueError, match="Class 7 has no readable image left"),
    ):
        data.images(
            paths, [0, 7, 0, 0], size=6, batches=Planned([[0, 1]]), on_error="skip"
        )


@pytest.mark.parametrize(
    "content",
    [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", None],
    ids=["empty", "text", "PNG start", "JPEG start", "missing"],
)
def test_no_file_of_pictures_left_is_refused_even_if_skipping(tmp_path, content):
    path = tmp_path / "x.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="1 of 1 files .*x.jpg. There is none to go"):
        data.images([path], size=6, on_error="skip")


def test_a_png_with_a_changed_byte_is_found(files):
    _, paths = files
    content = bytearray(paths[3].read_bytes())
    content[len(content) // 2] ^= 0xFF
    paths[3].write_bytes(content)
    with pytest.raises(ValueError, match="1 of 4 files .*3.png"):
        data.images(paths, size=6)


def test_whole_files_raise_no_warning(files):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.images(files[1], size=6, on_error="skip")


@pytest.mark.parametrize(
    "source, message",
    [
        (pictures().astype("float32"), "must be a uint8 array .* Received: float32"),
        (pictures()[0, 0], r"Received: uint8 of shape \(8, 3\)"),
        (pictures()[:0], "at least one picture"),
        ([], "at least one picture"),
        ("birds", "at least one picture: an array, a list of paths.*'birds'"),
    ],
)
def test_a_source_that_is_no_pictures_is_refused(source, message):
    with pytest.raises(ValueError, match=message):
        data.images(source, size=6)


@pytest.mark.parametrize(
    "labels, message",
    [
        (np.arange(9), r"`label` must have one entry for each of the 10 .*\(9,\)"),
        (np.linspace(0, 1, 10), "must be integers. Received: dtype float64"),
        ([str(i) for i in range(10)], r"must be integers.* `data.encode\(ids\)`"),
        (np.zeros((10, 2, 2)), r"the shape \(n,\)"),
    ],
)
def test_labels_of_wrong_shape_or_type_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        data.images(pictures(), labels, size=6)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"size": 0}, "`size` must be one positive number .* Received: size=0"),
        ({"size": (3, 4, 3)}, "`size` must be"),
        ({"size": 6.5}, "`size` must be"),
        ({"views": 0, "labels": None}, "`views` must be at least 1. .* views=0"),
        ({"views": 2}, "position, and there is no room for `labels`: pass them in `f"),
        ({"batch_size": 0}, "`batch_size` must be at least 1.* batch_size=0"),
        ({"initial_epoch": -1}, "`initial_epoch` at least 0.* initial_epoch=-1"),
        ({"channels": 2}, "`channels` must be 1 or 3. Received: channels=2"),
        ({"augment": "strong"}, "`augment` must be a bool, an `Augment`.*'strong'"),
        ({"on_error": "ignore"}, '"raise" or "skip". Received: on_error=\'ignore\''),
        ({"fields": {"index": [1]}}, r"`index` must have one entry.*\(1,\)"),
        ({"fields": {"label": np.arange(10)}}, 'must not hold "label"'),
        ({"labels": None, "fields": {"a": np.arange(10)}}, "`fields` go beside"),
        ({"batches": Planned([[3, 10]])}, "among the 10 pictures.* from 3 to 10"),
        ({"batches": Planned([[-1, 3]])}, "among the 10 pictures.* from -1 to 3"),
        ({"batches": Planned([[0.5]])}, "must be integers of shape .* float64"),
    ],
)
def test_arguments_out_of_range_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        data.images(pictures(), **{"labels": np.arange(10), "size": 6, **bad})
