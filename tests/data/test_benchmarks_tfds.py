"""Benchmarks of TensorFlow Datasets, of which a fake stands in."""

import pathlib
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from kerasdml.data import images, load_benchmark


@pytest.fixture
def prepared(monkeypatch):
    """`prepared(name, label, train, test)`: a data set of such labels, by part."""

    def prepare(name, label, names, **labels):
        class Builder:
            info = types.SimpleNamespace(
                features={label: types.SimpleNamespace(names=names)}
            )

            def as_dataset(self, split, decoders):
                assert decoders == {"image": "encoded"}
                # An image as bright as its label, as the file that it was.
                encoded = [
                    tf.io.encode_jpeg(np.full((8, 8, 3), x, "uint8")).numpy()
                    for x in labels[split]
                ]
                return tf.data.Dataset.from_tensor_slices(
                    {"image": encoded, label: np.array(labels[split], "int64")}
                )

        module = types.ModuleType("tensorflow_datasets")
        module.decode = types.SimpleNamespace(SkipDecoding=lambda: "encoded")
        module.builder = {name: Builder()}.__getitem__
        monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)

    return prepare


def test_birds_are_split_by_class_whatever_part_they_are_in(prepared, tmp_path):
    names = [f"bird {i}" for i in range(200)]
    prepared("caltech_birds2011", "label", names, train=[120, 3], test=[99, 100, 3])
    pack = load_benchmark("cub200_2011", tmp_path, check=False, source="tfds")
    assert list(pack.labels) == [120, 3, 99, 100, 3]
    assert list(pack.split) == [1, 0, 0, 1, 0]
    assert list(pack.class_names[pack.labels[:2]]) == ["bird 120", "bird 3"]
    (pictures,) = images(pack.images, size=8)
    np.testing.assert_allclose(
        pictures.numpy().mean(axis=(1, 2, 3)), pack.labels, atol=2
    )


def test_products_are_split_as_they_come_and_written_once(prepared, tmp_path):
    names = [str(i) for i in range(9)]
    prepared("stanford_online_products", "class_id", names, train=[1, 1], test=[7])
    kwargs = {"check": False, "source": "tfds"}
    pack = load_benchmark("stanford_online_products", tmp_path, **kwargs)
    assert list(pack.labels) == [1, 1, 7] and list(pack.split) == [0, 0, 1]
    assert list(pack.class_names[pack.labels]) == ["1", "1", "7"]
    written = [path.stat().st_mtime_ns for path in map(pathlib.Path, pack.images)]
    again = load_benchmark("stanford_online_products", tmp_path, **kwargs)
    assert again.images == pack.images
    assert [
        path.stat().st_mtime_ns for path in map(pathlib.Path, pack.images)
    ] == written


def test_the_official_numbers_are_checked(prepared, tmp_path):
    prepared("cars196", "label", ["car"] * 196, train=[0], test=[195])
    with pytest.raises(
        ValueError, match="train has 1 images of 1 classes instead of 8"
    ):
        load_benchmark("cars196", tmp_path, source="tfds")


def test_says_what_is_not_there(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="has no 'in_shop'"):
        load_benchmark("in_shop", tmp_path, source="tfds")
    with pytest.raises(ValueError, match="`source` must be 'files' or 'tfds'"):
        load_benchmark("cars196", tmp_path, source="web")
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImportError, match=r"pip install kerasdml\[tfds\]"):
        load_benchmark("cars196", tmp_path, source="tfds")
