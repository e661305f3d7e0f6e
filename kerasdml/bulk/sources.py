"""What a collection is made of, and how it divides into shards.

A part is what one shard embeds. It is small, whatever it stands for: it says where its
images are, and a worker reads them from there.
"""

import dataclasses
import itertools
import os
import pathlib
import posixpath
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from kerasdml.bulk.files import absolute, chunks, sha256
from kerasdml.data import files, from_directory

LIST = "list.tsv"  # the list that is made of a folder
_LISTS = (".tsv", ".txt")
_LABELS = ("image/class/text", "image/class/label")
_NAME = "image/filename"


@dataclasses.dataclass(frozen=True)
class Collection:
    """Images to embed.

    Args:
        parts: What each shard embeds.
        sha256: That of the list, or of the names and sizes of TFRecord files.
        rows: How many images there are, or None where only the end will tell.
        features: The keys of TFRecords, or None.
        text: The content of the list that `parts` read, where there is no such file
            yet.
    """

    parts: list
    sha256: str
    rows: int | None
    features: dict | None = None
    text: bytes | None = None


@dataclasses.dataclass(frozen=True)
class Lines:
    """Some lines of a list of image files.

    Args:
        path: The list.
        root: The folder that paths in it are below.
        start: Where the lines start, in bytes.
        rows: How many lines there are.
        labelled: Whether each has a label, after a tab.
    """

    path: str
    root: str
    start: int
    rows: int
    labelled: bool

    def examples(self):
        """A data set of ids, labels, and what `load` takes."""
        with tf.io.gfile.GFile(self.path, "rb") as file:
            file.seek(self.start)
            lines = [line.decode() for line in itertools.islice(file, self.rows)]
        pairs = [self._pair(line.rstrip("\r\n")) for line in lines if line.strip()]
        ids, labels = zip(*pairs, strict=True) if pairs else ((), ())
        columns = ids, labels, [self._full(path) for path in ids]
        return tf.data.Dataset.from_tensor_slices(
            tuple(tf.constant(column, tf.string) for column in columns)
        )

    def load(self, path, size, channels):
        return files.load(path, size, channels)

    def _pair(self, line):
        path, tab, label = line.partition("\t")
        if bool(tab) != self.labelled:
            raise ValueError(
                f"{self.path} must have a label, after a tab, in every line or in "
                f"none. Received: {line!r} and a first line "
                f"{'with' if self.labelled else 'without'} a label."
            )
        return path, label

    def _full(self, path):
        return path if "://" in path else posixpath.join(self.root, path)


@dataclasses.dataclass(frozen=True)
class Records:
    """Some TFRecord files of `tf.train.Example`.

    Args:
        paths: The files.
        features: `{"image": (key, type), "id": …, "label": …}`, each None if there is
            none.
    """

    paths: tuple[str, ...]
    features: dict[str, Any]

    @property
    def labelled(self):
        return self.features["label"] is not None

    def examples(self):
        """A data set of ids, labels, and what `load` takes."""
        spec = {
            key: tf.io.FixedLenFeature([], dtype)
            for key, dtype in filter(None, self.features.values())
        }

        def of_file(path):
            records = tf.data.TFRecordDataset(path).enumerate()
            return records.map(lambda row, record: (path, row, record))

        def parse(path, row, record):
            found = tf.io.parse_single_example(record, spec)
            picked = {
                role: found[feature[0]]
                for role, feature in self.features.items()
                if feature
            }
            place = [tf.strings.split(path, "/")[-1], tf.strings.as_string(row)]
            name = picked.get("id", tf.strings.join(place, ":"))
            return name, picked.get("label", ""), picked["image"]

        paths = tf.data.Dataset.from_tensor_slices(list(self.paths))
        return paths.flat_map(of_file).map(parse, tf.data.AUTOTUNE)

    def load(self, content, size, channels):
        return files.from_bytes(content, size, channels)


def collection(source, folder, shards, image_key, id_key, label_key):
    """The `Collection` that `bulk.embed` is told of, to be written to `folder`.

    Raises:
        ValueError: If `source` is none, or has fewer images or files than `shards`.
    """
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        if tf.io.gfile.isdir(path):
            return _folder(path, posixpath.join(folder, LIST), shards)
        if path.endswith(_LISTS):
            return _list(path, shards)
        source = [path]
    return _records(source, shards, image_key, id_key, label_key)


def _folder(path, listed, shards):
    pack = from_directory(path)
    names = [str(pathlib.Path(image).relative_to(path)) for image in pack.images]
    labels = pack.class_names[pack.labels].tolist()
    pairs = list(zip(names, labels, strict=True))
    for name in names:
        if any(sign in name for sign in "\t\r\n"):
            raise ValueError(
                "Names of files must have no tab and no end of line in them. "
                f"Received: {name!r}."
            )
    lines = [f"{name}\t{label}\n".encode() for name, label in pairs]
    ends = np.cumsum([0, *map(len, lines)])
    bounds = _bounds(len(lines), shards, "images")
    root = absolute(path)
    parts = [
        Lines(listed, root, int(ends[first]), last - first, True)
        for first, last in itertools.pairwise(bounds)
    ]
    text = b"".join(lines)
    return Collection(parts, sha256([text]), len(lines), text=text)


def _list(path, shards):
    if not tf.io.gfile.exists(path):
        raise FileNotFoundError(f"There is no list of images at {path!r}.")
    count = sum(chunk.count(b"\n") for chunk in chunks(path))
    with tf.io.gfile.GFile(path, "rb") as file:
        labelled = b"\t" in file.readline()
        size = file.size()
        file.seek(max(size - 1, 0))
        count += size > 0 and file.read(1) != b"\n"
    path = absolute(path)
    bounds = _bounds(count, shards, "lines")
    parts = [
        Lines(path, posixpath.dirname(path), start, last - first, labelled)
        for start, (first, last) in zip(
            _starts(path, bounds[:-1]), itertools.pairwise(bounds), strict=True
        )
    ]
    return Collection(parts, sha256(chunks(path)), count)


def _starts(path, rows):
    """The byte at which each of some lines of a file starts; `rows` ascend."""
    starts, line, byte = [0], 0, 0  # the first of `rows` is 0
    for chunk in chunks(path):
        ends = np.flatnonzero(np.frombuffer(chunk, np.uint8) == ord("\n"))
        while len(starts) < len(rows) and rows[len(starts)] <= line + len(ends):
            starts.append(byte + int(ends[rows[len(starts)] - line - 1]) + 1)
        line, byte = line + len(ends), byte + len(chunk)
    return starts


def _records(patterns, shards, *keys):
    paths = [p for pattern in patterns for p in tf.io.gfile.glob(os.fspath(pattern))]
    if not paths:
        raise ValueError(
            "`source` must be a folder with a folder of images for each class, a list "
            "that ends in .txt or .tsv, or TFRecord files. No file is at "
            f"{', '.join(map(str, patterns))}."
        )
    paths = sorted(map(absolute, paths))
    features = _features(paths, *keys)
    bounds = _bounds(len(paths), shards, "TFRecord files")
    parts = [
        Records(tuple(paths[first:last]), features)
        for first, last in itertools.pairwise(bounds)
    ]
    sizes = (f"{posixpath.basename(p)} {tf.io.gfile.stat(p).length}\n" for p in paths)
    digest = sha256(line.encode() for line in sizes)
    return Collection(parts, digest, None, features)


def _features(paths, image_key, id_key, label_key):
    """The key and the type of each thing that a record holds, by the first record."""
    first = next(iter(_examples(paths)), None)
    if first is None:
        raise ValueError(f"There is no record in {', '.join(paths)}.")
    if id_key is None:
        id_key = _NAME if _NAME in first else ""
    if label_key is None:
        label_key = next((key for key in _LABELS if key in first), "")
    chosen = {"image": image_key, "id": id_key, "label": label_key}
    for role, key in chosen.items():
        fine = ("string",) if role == "image" else ("string", "int64")
        if (key or role == "image") and first.get(key) not in fine:
            raise ValueError(
                f"`{role}_key` must be a feature of the records, of type "
                f"{' or '.join(fine)}. Received: {key!r}, and {paths[0]} has "
                f"{', '.join(f'{name} ({first[name]})' for name in sorted(first))}."
            )
    return {role: (key, first[key]) if key else None for role, key in chosen.items()}


def _examples(paths):
    """The type of each feature of record after record."""
    types = {"bytes_list": "string", "int64_list": "int64", "float_list": "float32"}
    try:
        for record in tf.data.TFRecordDataset(paths).take(1).as_numpy_iterator():
            features = tf.train.Example.FromString(record).features.feature
            yield {
                key: types.get(value.WhichOneof("kind"))
                for key, value in features.items()
            }
    except (tf.errors.OpError, DecodeError) as error:
        raise ValueError(
            f"{paths[0]} must be a TFRecord file of tf.train.Example: {error}"
        ) from error


def _bounds(count, shards, what):
    """Where each shard begins, and the last ends: of `count` things, alike many."""
    if not 1 <= shards <= count:
        raise ValueError(
            f"`shards` must be from 1 to {count}, the number of {what}. "
            f"Received: {shards}."
        )
    return [count * shard // shards for shard in range(shards + 1)]
