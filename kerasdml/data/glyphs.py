"""The built-in data set: characters, drawn on the spot from installed fonts."""

import hashlib
import importlib.metadata
import json
import numbers
import os
import pathlib
import warnings
import zipfile
import zlib
from collections.abc import Sequence

import keras
import numpy as np

from kerasdml.data.packs import Pack
from kerasdml.data.splits import class_disjoint_split

_LEAST = {"size": 8, "images_per_class": 1, "seed": 0, "classes": 2}
# Raised whenever the same arguments would give other images than before.
_FORMAT = 1
# What decides on the pixels besides the arguments and the code of this package.
_DRAWN_BY = ("matplotlib", "numpy", "pillow")
# What numpy lets through of damaged files.
_BROKEN = (zipfile.BadZipFile, zlib.error)


def glyphs(
    size: int = 32,
    images_per_class: int = 24,
    fonts: Sequence[str | os.PathLike] = (),
    seed: int = 0,
    cache_dir: str | os.PathLike | None = None,
    verbose: int = 1,
    classes: int = 800,
) -> Pack:
    """Draws a set of characters to train and test on; nothing is downloaded.

    A class is a character, white on black; its images show it in different faces and
    at different sizes and places, turned, slanted, stretched, blurred, dimmed and
    noisy. The faces are the twelve of the DejaVu fonts that matplotlib installs, and
    `fonts`. They draw a class equally often, as far as they have the character.

    An image shows a shape, not its size or place in a line. So characters that look
    alike at the same size in any of the faces are one class, drawn as the first of
    them: Latin, Greek and Cyrillic A; o and O; the upright bars I and l. Characters
    in most faces are taken first, in the order of Unicode: Latin, Greek, Cyrillic,
    Armenian and Georgian letters among signs. With the built-in faces there are about
    1,250 classes that all of them can draw, and 3,400 that any can.

    Raw pixels find a neighbour of the same class for about 46 % of the images of unseen
    classes (recall@1 within the test half, default arguments).

    The first call takes some seconds. The set is then kept, as a file that `load_pack`
    reads, too, and later calls with the same arguments read it.

    Args:
        size: Side of the images, in pixels, at least 8.
        images_per_class: Images of each class, at least 1.
        fonts: Further font files, `.ttf` or `.otf`.
        seed: Which views and which half of the classes, at least 0. The same seed
            gives the same bytes. An image depends on the class, not on how many there
            are.
        cache_dir: Folder where sets are kept. Default: the environment variable
            `KERASDML_CACHE`, else `kerasdml` in the user's cache folder
            (`XDG_CACHE_HOME`, else `~/.cache`). One that cannot be written to costs a
            warning.
        verbose: 1 shows two progress bars, the search for characters and the drawing,
            0 nothing.
        classes: Number of classes, at least 2.

    Returns:
        A `Pack`: `images (n, size, size)` uint8, class after class; `labels (n,)`;
        `class_names`, as in "A LATIN CAPITAL LETTER A"; `split`, 0 for a half of the
        classes to train on, 1 for the other, to test on; `fields["font"] (n,)`, the
        number of the face, those of matplotlib first, then `fonts`.

    Raises:
        ValueError: If a number is below its range, a font cannot be read, or the faces
            have too few characters of different looks.

    Example:

    >>> pack = kerasdml.data.glyphs()
    >>> train = pack.subset(np.flatnonzero(pack.split == 0))
    """
    _check(size=size, images_per_class=images_per_class, seed=seed, classes=classes)
    key = _key([size, images_per_class, seed, classes, _hashes(fonts)])
    path = _folder(cache_dir) / f"glyphs-{key}.npz"
    pack = _read(path)
    if pack is None:
        pack = _draw(size, images_per_class, fonts, seed, verbose, classes)
        _write(path, pack)
    return pack


def _draw(size, images_per_class, fonts, seed, verbose, classes):
    # A set that was kept needs neither matplotlib nor Pillow, which take a while.
    from kerasdml.data import characters
    from kerasdml.data.distortions import distorted

    bar = keras.utils.Progbar(classes, unit_name="character", verbose=verbose)
    found = characters.distinct(characters.faces(fonts), classes, bar.update)
    images = np.empty((classes, images_per_class, size, size), np.uint8)
    font = np.empty((classes, images_per_class), np.int64)
    bar = keras.utils.Progbar(classes, unit_name="class", verbose=verbose)
    for label, (code, pictures) in enumerate(found):
        rng = np.random.default_rng([seed, code])
        font[label] = np.resize(rng.permutation(list(pictures)), images_per_class)
        views = [pictures[number] for number in font[label]]
        images[label] = distorted(views, size, rng)
        bar.add(1)
    labels = np.repeat(np.arange(classes), images_per_class)
    split = np.zeros(len(labels), np.int64)
    split[class_disjoint_split(labels, seed=seed)[1]] = 1
    return Pack(
        images=images.reshape(-1, size, size),
        labels=labels,
        class_names=np.array([characters.name(code) for code, _ in found]),
        split=split,
        fields={"font": font.reshape(-1)},
    )


def _check(**arguments):
    for name, value in arguments.items():
        least = _LEAST[name]
        if not isinstance(value, numbers.Integral) or value < least:
            raise ValueError(
                f"`{name}` must be an integer of at least {least}. "
                f"Received: {name}={value!r}."
            )


def _hashes(fonts):
    if isinstance(fonts, str | os.PathLike):
        raise ValueError(
            f"`fonts` must be a list of font files. Received: {str(fonts)!r}. "
            "For one file: `fonts=[...]`."
        )
    try:
        return [hashlib.sha256(pathlib.Path(x).read_bytes()).hexdigest() for x in fonts]
    except OSError as error:
        raise ValueError(f"`fonts` must be files that can be read. {error}.") from error


def _key(arguments):
    versions = [importlib.metadata.version(name) for name in _DRAWN_BY]
    made_of = json.dumps([_FORMAT, versions, arguments], default=int)
    return hashlib.sha256(made_of.encode()).hexdigest()[:16]


def _folder(cache_dir):
    chosen = cache_dir or os.environ.get("KERASDML_CACHE")
    if chosen:
        return pathlib.Path(chosen)
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(home, "kerasdml")


def _read(path):
    """The kept set; `None` if there is none, or one cut short or damaged."""
    try:
        with np.load(path) as file:
            kept = {name: file[name] for name in file.files}
        fields = {"font": kept.pop("font")}
        return Pack(**kept, fields=fields)
    except (OSError, EOFError, KeyError, TypeError, ValueError, *_BROKEN):
        return None


def _write(path, pack):
    """Keeps a set, whole or not at all: readers never see a part of one."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    arrays = {name: getattr(pack, name) for name in ("images", "labels", "split")}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                np.savez(file, **arrays, class_names=pack.class_names, **pack.fields)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        warnings.warn(
            f"The glyphs could not be kept, and the next call will draw them again: "
            f"{error}. `cache_dir=` or KERASDML_CACHE names another folder.",
            stacklevel=3,
        )
