"""An embedder that is not trained, and images of noise."""

import functools
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kerasdml import bulk

SIZE = 6


@pytest.fixture(scope="session")
def embedder(tmp_path_factory):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((SIZE, SIZE, 3)), keras.layers.Rescaling(1 / 255)]
    layers += [keras.layers.Flatten(), keras.layers.Dense(4)]
    path = tmp_path_factory.mktemp("model") / "embedder.keras"
    keras.Sequential(layers).save(path)
    return path


@pytest.fixture(scope="session")
def pictures():
    """Ten of noise."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (10, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture
def listed(pictures, tmp_path):
    """A list of ten files, in an order that is not sorted, and its labels."""
    (tmp_path / "images").mkdir()
    names = [f"images/{i * 7 % 10}.png" for i in range(10)]
    for name, picture in zip(names, pictures, strict=True):
        Image.fromarray(picture).save(tmp_path / name)
    path = tmp_path / "photos.tsv"
    labels = [f"class {i % 3}" for i in range(10)]
    lines = map("\t".join, zip(names, labels, strict=True))
    path.write_text("\n".join(lines))  # no end of line after the last
    return path, names, labels


@pytest.fixture
def embed(embedder):
    """`bulk.embed` by the embedder, in batches that no shard is a multiple of."""
    return functools.partial(bulk.embed, embedder, batch_size=2, verbose=0)


def read(written):
    """The arrays of the files, joined."""
    files = [np.load(path) for path in written.paths]
    columns = [name for name in ("ids", "labels", "embeddings") if name in files[0]]
    return {name: np.concatenate([f[name] for f in files]) for name in columns}


def contents(folder):
    """The bytes of every file in a folder, by its name."""
    return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}


def write_records(path, pictures, **features):
    """A TFRecord file of pictures, and of lists of bytes or integers beside them."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for i, picture in enumerate(pictures):
            values = {key: column[i] for key, column in features.items()}
            values["image/encoded"] = tf.io.encode_png(picture).numpy()
            writer.write(_example(values).SerializeToString())


def _example(values):
    def feature(value):
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    named = {key.replace("__", "/"): feature(value) for key, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=named))
