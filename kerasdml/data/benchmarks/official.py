"""What the benchmarks' readers share: lists of text, and the checks."""

import pathlib

import numpy as np

from kerasdml.data.labels import encode

# How many missing images or classes on both sides an error names.
NAMED = 3


def require(root, *names):
    """Raises an error that names those of the files `names` that `root` lacks."""
    missing = [name for name in names if not (root / name).exists()]
    if missing:
        raise FileNotFoundError(
            f"{str(root)!r} lacks {', '.join(missing)}. `path` must be the folder of "
            "the data set's official files, unpacked; `data.load_benchmark` lists them."
        )


def table(file, columns, header=0):
    """Returns the columns of a list of words, without its first `header` lines."""
    rows = [line.split() for line in file.read_text("utf-8").splitlines()]
    for number, row in enumerate(rows[header:], header + 1):
        if len(row) != columns:
            raise ValueError(
                f"Line {number} of {str(file)!r} must have {columns} words. "
                f"Received: {' '.join(row)!r}."
            )
    if len(rows) <= header:
        raise ValueError(f"{str(file)!r} lists nothing.")
    return zip(*rows[header:], strict=True)


def number(names):
    """Returns `labels, class_names`, numbered as they are first seen."""
    classes = list(dict.fromkeys(names))
    return encode(names, classes), np.array(classes)


def check_disjoint(pack):
    sides = [pack.labels[pack.split == side] for side in (0, 1)]
    both = pack.class_names[np.intersect1d(*sides)]
    if len(both):
        raise ValueError(
            "A class must be either trained on or tested on. On both sides are "
            f"{len(both)}, the first: {', '.join(both[:NAMED])}."
        )


def check_files(pack):
    missing = [image for image in pack.images if not pathlib.Path(image).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(pack)} images are missing, the first: "
            f"{', '.join(missing[:NAMED])}."
        )


def check_counts(pack, counts):
    """Compares with `counts`: `(images, classes)` by part of the split."""
    parts = pack.fields.get("role", np.array(["train", "test"])[pack.split])
    wrong = []
    for part, (images, classes) in counts.items():
        own = pack.labels[parts == part]
        found = len(np.unique(own))
        if (len(own), found) != (images, classes):
            wrong.append(
                f"{part} has {len(own)} images of {found} classes instead of {images} "
                f"of {classes}"
            )
    if wrong:
        raise ValueError(
            f"These are not the official numbers: {'; '.join(wrong)}. "
            "`check=False` reads a part of the benchmark."
        )
