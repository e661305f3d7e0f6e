import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from kerasdml import data

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 8, 10, 3)).astype("uint8")
BITS = RNG.integers(0, 2, (6, 5, 11)).astype("uint8")
LABELS = np.array([0, 0, 1, 1, 2, 2], "int16")
NAMES = np.array(["ant", "bee", "cow"])
SPLIT = np.array([0, 0, 0, 0, 1, 1], "uint8")


def jpegs(prefix="", images=IMAGES):
    """The arrays of images that share one header, and what a decoder makes of them."""
    files = [tf.io.encode_jpeg(image, quality=90).numpy() for image in images]
    header = os.path.commonprefix(files)
    offsets = np.cumsum([0] + [len(file) - len(header) for file in files])
    scans = b"".join(file[len(header) :] for file in files)
    arrays = {
        f"{prefix}jpeg_header": np.frombuffer(header, "uint8"),
        f"{prefix}jpeg_data": np.frombuffer(scans, "uint8"),
        f"{prefix}offsets": offsets,
    }
    return arrays, np.stack([tf.io.decode_jpeg(file).numpy() for file in files])


def written(tmp_path, **arrays):
    np.savez(tmp_path / "pack.npz", **arrays)
    return tmp_path / "pack.npz"


def test_plain_arrays(tmp_path):
    path = written(
        tmp_path, images=IMAGES, labels=LABELS, class_names=NAMES, size=LABELS
    )
    pack = data.load_pack(path)
    np.testing.assert_array_equal(pack.images, IMAGES)
    np.testing.assert_array_equal(pack.labels, LABELS)
    assert list(pack.class_names) == ["ant", "bee", "cow"]
    assert pack.split is None and list(pack.fields) == ["size"] and len(pack) == 6


def test_classes_without_names_are_named_by_number(tmp_path):
    pack = data.load_pack(written(tmp_path, images=IMAGES, labels=LABELS))
    assert list(pack.class_names) == ["0", "1", "2"]


def test_names_are_no_field_where_every_image_is_its_own_class(tmp_path):
    names = np.array(list("abcdef"))
    path = written(tmp_path, images=IMAGES, labels=np.arange(6), class_names=names)
    assert data.load_pack(path).fields == {}


def test_jpegs_with_a_shared_header(tmp_path):
    arrays, decoded = jpegs()
    path = written(
        tmp_path,
        **arrays,
        image_shape=np.array([8, 10, 3]),
        labels=LABELS,
        class_names=NAMES,
        split=SPLIT,
        coarse_labels=LABELS // 2,
        coarse_of_fine=np.array([0, 0, 1]),
    )
    pack = data.load_pack(path)
    np.testing.assert_array_equal(pack.images, decoded)
    np.testing.assert_array_equal(pack.split, SPLIT)
    assert list(pack.fields) == ["coarse_labels"]


def test_packed_bits_become_white_ink_on_black(tmp_path):
    path = written(
        tmp_path,
        images_packed=np.packbits(BITS, axis=2),
        image_size=np.array([5, 11]),
        labels=LABELS,
        class_names=NAMES,
        drawer=LABELS,
    )
    pack = data.load_pack(path)
    np.testing.assert_array_equal(pack.images, 255 * BITS)
    assert pack.images.dtype == np.uint8 and list(pack.fields) == ["drawer"]


def test_iconic_images_are_one_per_class(tmp_path):
    arrays, _ = jpegs()
    iconic, decoded = jpegs("iconic_", IMAGES[:3])
    path = written(
        tmp_path, **arrays, **iconic, labels=LABELS, class_names=NAMES, split=SPLIT
    )
    pack = data.load_pack(path, part="iconic")
    np.testing.assert_array_equal(pack.images, decoded)
    np.testing.assert_array_equal(pack.labels, [0, 1, 2])
    np.testing.assert_array_equal(pack.split, [0, 0, 1])


def test_sketches_and_photos_are_two_parts(tmp_path):
    arrays, decoded = jpegs(images=IMAGES[:4])
    path = written(
        tmp_path,
        **arrays,
        sketches_packed=np.packbits(BITS, axis=2),
        sketch_size=np.array([5, 11]),
        sketch_labels=LABELS,
        sketch_recognized=LABELS > 0,
        photo_labels=LABELS[:4],
        photo_source=LABELS[:4],
        class_names=NAMES,
        class_split=np.array([0, 2, 1]),
    )
    sketches = data.load_pack(path, part="sketches")
    np.testing.assert_array_equal(sketches.images, 255 * BITS)
    np.testing.assert_array_equal(sketches.split, [0, 0, 2, 2, 1, 1])
    assert list(sketches.fields) == ["sketch_recognized"]
    photos = data.load_pack(path, part="photos")
    np.testing.assert_array_equal(photos.images, decoded)
    np.testing.assert_array_equal(photos.split, [0, 0, 2, 2])
    assert list(photos.fields) == ["photo_source"]
    with pytest.raises(ValueError, match="two kinds of images: pass `part='sketches'`"):
        data.load_pack(path)


def test_both_parts_are_one_pack_of_their_common_classes(tmp_path):
    arrays, decoded = jpegs(images=IMAGES[:2, :5, :8])
    path = written(
        tmp_path,
        **arrays,
        sketches_packed=np.packbits(BITS[:, :, :8], axis=2),
        sketch_size=np.array([5, 8]),
        sketch_labels=LABELS,
        photo_labels=np.array([2, 1]),
        class_names=NAMES,
        class_split=np.array([0, 0, 1]),
    )
    pack = data.load_pack(path, part="both")
    np.testing.assert_array_equal(pack.labels, [1, 1, 2, 2, 2, 1])
    np.testing.assert_array_equal(pack.split, [0, 0, 1, 1, 1, 0])
    np.testing.assert_array_equal(pack.fields["modality"], [0, 0, 0, 0, 1, 1])
    for channel in range(3):
        sketches = 255 * BITS[2:, :, :8]
        np.testing.assert_array_equal(pack.images[:4, ..., channel], sketches)
    np.testing.assert_array_equal(pack.images[4:], decoded)
    assert list(pack.class_names) == list(NAMES)


def test_scenes_are_the_classes_of_a_multi_label_set(tmp_path):
    path = written(
        tmp_path,
        images=IMAGES,
        multilabels=np.eye(6, dtype="uint8"),
        label_names=np.array(list("abcdef")),
        scene_labels=LABELS,
        scene_names=NAMES,
    )
    pack = data.load_pack(path)
    np.testing.assert_array_equal(pack.labels, LABELS)
    assert list(pack.class_names) == list(NAMES)
    np.testing.assert_array_equal(pack.fields["multilabels"], np.eye(6))


def test_a_file_without_images_says_what_it_has(tmp_path):
    path = written(tmp_path, base=np.zeros((2, 3)), queries=np.zeros((1, 3)))
    with pytest.raises(ValueError, match="no images .* has the arrays base, queries"):
        data.load_pack(path)
    with pytest.raises(ValueError, match="`part` must be one of None, 'iconic'"):
        data.load_pack(path, part="drawings")
    with pytest.raises(ValueError, match="has no labels for its images"):
        data.load_pack(written(tmp_path, images=IMAGES))


def test_a_subset_keeps_labels_and_everything_in_step(tmp_path):
    pack = data.Pack(IMAGES, LABELS, NAMES, SPLIT, {"row": np.arange(6)})
    some = pack.subset(np.flatnonzero(SPLIT))
    np.testing.assert_array_equal(some.images, IMAGES[4:])
    np.testing.assert_array_equal(some.labels, [2, 2])
    np.testing.assert_array_equal(some.split, [1, 1])
    np.testing.assert_array_equal(some.fields["row"], [4, 5])
    assert list(some.class_names) == list(NAMES)


def test_a_pack_of_uneven_parts_is_refused():
    with pytest.raises(ValueError, match="`images` must have one entry per label, 6"):
        data.Pack(IMAGES[:5], LABELS, NAMES)
    with pytest.raises(ValueError, match="`row` must have one entry per label, 6"):
        data.Pack(IMAGES, LABELS, NAMES, fields={"row": [1, 2]})


@pytest.fixture
def folder(tmp_path):
    for name in ("bee/1.png", "bee/deep/2.JPG", "ant/x.jpeg", "ant/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".cache").mkdir()
    return tmp_path


def test_a_folder_per_class(folder):
    pack = data.from_directory(folder)
    assert list(pack.class_names[pack.labels]) == ["ant", "bee", "bee"]
    np.testing.assert_array_equal(pack.labels, [0, 1, 1])
    names = [str(pathlib.Path(image).relative_to(folder)) for image in pack.images]
    assert names == ["ant/x.jpeg", "bee/1.png", "bee/deep/2.JPG"]
    assert pack.subset([2]).images == [pack.images[2]]


def test_a_class_without_images_is_named(folder):
    (folder / "cow").mkdir()
    with pytest.raises(ValueError, match="Without images: cow"):
        data.from_directory(folder)
    with pytest.raises(ValueError, match="must be a folder. Received: 'nowhere'"):
        data.from_directory("nowhere")
    with pytest.raises(ValueError, match="It has no folder"):
        data.from_directory(folder / "cow")


DATA = pathlib.Path(os.environ.get("KERASDML_DATA", "nowhere"))


@pytest.mark.skipif(not DATA.exists(), reason="KERASDML_DATA names no folder of data")
@pytest.mark.parametrize(
    "file, part, shape, classes, test",
    [
        ("omniglot", None, (32460, 105, 105), 1623, 13180),
        ("fer2013_subset", None, (7025, 48, 48, 1), 7, 3589),
        ("grocery_store", "iconic", (81, 80, 80, 3), 81, 46),
        ("ucmerced_multilabel", None, (2100, 96, 96, 3), 21, 420),
        ("quickdraw_photo", "sketches", (9570, 64, 64), 345, None),
        ("quickdraw_photo", "photos", (3947, 64, 64, 3), 345, None),
        ("quickdraw_photo", "both", (6467, 64, 64, 3), 345, None),
    ],
)
def test_real_packs_have_their_documented_size(file, part, shape, classes, test):
    pack = data.load_pack(DATA / f"{file}.npz", part=part)
    assert pack.images.shape == shape and pack.images.dtype == np.uint8
    assert len(pack.class_names) == classes
    if test is not None:
        assert (pack.split == 1).sum() == test
