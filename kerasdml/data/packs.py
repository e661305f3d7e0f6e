"""Packs: a data set's images, labels and what else is known of each example."""

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from kerasdml.data.labels import check_labels

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
# Names of a pack's images and of what belongs to them, by part.
_PARTS = {
    None: {"prefix": "", "labels": ("labels", "scene_labels")},
    "iconic": {"prefix": "iconic_", "labels": ()},
    "photos": {"prefix": "", "labels": ("photo_labels",)},
    "sketches": {"prefix": "sketches_", "labels": ("sketch_labels",)},
}
# What may have one entry per image and yet is no field.
_NO_FIELDS = ("class_names", "images", "images_packed", "sketches_packed", "split")


@dataclasses.dataclass(frozen=True)
class Pack:
    """A labelled set of images, as `data.images` takes it.

    Args:
        images: `(n, h, w)` or `(n, h, w, channels)` uint8, or n paths.
        labels: `(n,)` integers, the classes.
        class_names: `(c,)` array of names, by label: `class_names[labels]`.
        split: `(n,)` integers, or `None`: the part of the data set an example belongs
            to; mostly 0 to train on, 1 to test on.
        fields: Further arrays `(n, …)`, by name.

    Raises:
        ValueError: If the lengths differ, or labels are not `(n,)` integers.
    """

    images: Any
    labels: np.ndarray
    class_names: np.ndarray
    split: np.ndarray | None = None
    fields: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        check_labels(self.labels)
        per_example = {"images": self.images, "split": self.split, **self.fields}
        for name, values in per_example.items():
            if values is not None and len(values) != len(self.labels):
                raise ValueError(
                    f"`{name}` must have one entry per label, {len(self.labels)}. "
                    f"Received: {len(values)}."
                )

    def __len__(self):
        return len(self.labels)

    def subset(self, rows) -> "Pack":
        """Returns the examples at `rows`, positions; labels and names stay."""
        rows = np.asarray(rows)
        return dataclasses.replace(
            self,
            images=_take(self.images, rows),
            labels=self.labels[rows],
            split=None if self.split is None else self.split[rows],
            fields={name: values[rows] for name, values in self.fields.items()},
        )


def from_directory(path: str | os.PathLike) -> Pack:
    """Lists a folder that has a folder of images for every class.

    Args:
        path: The folder. The names of its folders, sorted, are the classes; images are
            `.jpg`, `.jpeg`, `.png`, `.bmp` and `.gif` files at any depth in them.
            Hidden folders do not count.

    Returns:
        A `Pack` whose images are paths; nothing is read yet.

    Raises:
        ValueError: If `path` is no folder, or a class has no image.

    Example:

    >>> birds = kerasdml.data.from_directory("birds")
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        raise ValueError(f"`path` must be a folder. Received: {str(path)!r}.")
    folders = sorted(
        folder
        for folder in path.iterdir()
        if folder.is_dir() and not folder.name.startswith(".")
    )
    files = [_image_files(folder) for folder in folders]
    empty = [folder.name for folder, own in zip(folders, files, strict=True) if not own]
    if empty or not folders:
        raise ValueError(
            f"{str(path)!r} must have a folder of images for every class. "
            + (f"Without images: {', '.join(empty)}." if empty else "It has no folder.")
        )
    return Pack(
        images=[str(file) for own in files for file in own],
        labels=np.repeat(np.arange(len(folders)), [len(own) for own in files]),
        class_names=np.array([folder.name for folder in folders]),
    )


def load_pack(path: str | os.PathLike, part: str | None = None) -> Pack:
    """Loads a data set from one `.npz` file.

    Images are one of

    - `images`: `(n, h, w)` or `(n, h, w, channels)` uint8;
    - `jpeg_data`, `jpeg_header`, `offsets`: JPEG scans that share one header, image i
      being the header and `jpeg_data[offsets[i]:offsets[i + 1]]`;
    - `images_packed`: black-and-white rows of packed bits, ink 1, with `image_size`
      `(h, w)`; they come as 0 and 255, ink white.

    Classes are `labels` and `class_names`, or `scene_labels` and `scene_names`; `split`
    (or `class_split`, by class) is the split, and every other array with one entry per
    image is a field.

    Args:
        path: The file.
        part: Which images of a file that has several kinds: "sketches", "photos",
            "both" (those of classes that have either, sketches first, with the field
            "modality": 0 for sketches, 1 for photos) or "iconic" (one catalogue image
            per class).

    Returns:
        A `Pack`.

    Raises:
        ValueError: If the file has no such images, or several kinds and no `part`.

    Example:

    >>> pack = kerasdml.data.load_pack("omniglot.npz")
    >>> train = pack.subset(np.flatnonzero(pack.split == 0))
    """
    if part == "both":
        return _joined(load_pack(path, "sketches"), load_pack(path, "photos"))
    if part not in _PARTS:
        names = ", ".join(repr(x) for x in [*_PARTS, "both"])
        raise ValueError(f"`part` must be one of {names}. Received: part={part!r}.")
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    if part is None and "sketches_packed" in arrays:
        raise ValueError(
            f"{pathlib.Path(path).name} has two kinds of images: pass "
            "`part='sketches'`, `part='photos'` or `part='both'`."
        )
    images = _images(arrays, _PARTS[part]["prefix"], pathlib.Path(path).name)
    return _pack(images, arrays, part, pathlib.Path(path).name)


def _joined(sketches, photos):
    """Returns the examples of classes that both packs have, as one pack."""
    common = np.intersect1d(sketches.labels, photos.labels)
    packs = [
        pack.subset(np.flatnonzero(np.isin(pack.labels, common)))
        for pack in (sketches, photos)
    ]
    splits = [pack.split for pack in packs if pack.split is not None]
    return Pack(
        images=np.concatenate([_colour(pack.images) for pack in packs]),
        labels=np.concatenate([pack.labels for pack in packs]),
        class_names=photos.class_names,
        split=np.concatenate(splits) if splits else None,
        fields={"modality": np.repeat([0, 1], [len(pack) for pack in packs])},
    )


def _colour(images):
    if images.ndim == 3:
        images = images[..., None]
    return np.broadcast_to(images, (*images.shape[:3], 3))


def _pack(images, arrays, part, file):
    if part == "iconic":
        name, labels = "labels", np.arange(len(images))
    else:
        found = [name for name in _PARTS[part]["labels"] if name in arrays]
        if not found:
            raise ValueError(f"{file} has no labels for its images.")
        name, labels = found[0], arrays[found[0]].astype(np.int64)
    names = arrays.get("scene_names" if name == "scene_labels" else "class_names")
    if names is None:
        names = np.arange(labels.max() + 1).astype(str)
    if part == "iconic":
        return Pack(images, labels, names, split=_split_of_classes(arrays, labels))
    split = arrays.get("split")
    if "class_split" in arrays:
        split = arrays["class_split"][labels]
    return Pack(images, labels, names, split, _fields(arrays, name, len(images)))


def _fields(arrays, labels, count):
    """Every other array with one entry per image."""
    return {
        name: values
        for name, values in arrays.items()
        if name not in (labels, *_NO_FIELDS) and values.shape[:1] == (count,)
    }


def _split_of_classes(arrays, classes):
    """The split of each class, where the file has one by example."""
    if "split" not in arrays:
        return None
    first = [np.flatnonzero(arrays["labels"] == label)[0] for label in classes]
    return arrays["split"][first]


def _images(arrays, prefix, file):
    if f"{prefix}jpeg_data" in arrays:
        return _decode_jpegs(
            arrays[f"{prefix}jpeg_header"].tobytes(),
            arrays[f"{prefix}jpeg_data"].tobytes(),
            arrays[f"{prefix}offsets"],
        )
    for packed, size in (
        (f"{prefix}packed", "sketch_size"),
        (f"{prefix}images_packed", "image_size"),
    ):
        if packed in arrays:
            width = int(arrays[size][1])
            return np.unpackbits(arrays[packed], axis=2)[:, :, :width] * np.uint8(255)
    if f"{prefix}images" in arrays:
        return arrays[f"{prefix}images"]
    raise ValueError(
        f"{file} has no {prefix}images as `load_pack` knows them. It has the arrays "
        f"{', '.join(sorted(arrays))}."
    )


def _decode_jpegs(header, scans, offsets):
    return np.stack(
        [
            tf.io.decode_jpeg(header + scans[start:stop]).numpy()
            for start, stop in zip(offsets[:-1], offsets[1:], strict=True)
        ]
    )


def _image_files(folder):
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)


def _take(images, rows):
    if isinstance(images, np.ndarray):
        return images[rows]
    return [images[row] for row in np.arange(len(images))[rows]]
