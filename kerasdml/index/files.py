"""Directories that appear whole, and arrays that are checked when they are read."""

import contextlib
import hashlib
import json
import pathlib
import shutil
import uuid

import numpy as np

MANIFEST = "index.json"
FORMAT = 1


@contextlib.contextmanager
def new_directory(path):
    """Yields a directory to fill, which becomes `path` when the block succeeds.

    Who looks at `path`, such as a server that polls for new versions, sees all of it
    or nothing; a block that fails leaves nothing behind.

    Raises:
        FileExistsError: If something is at `path` already. Nothing is overwritten.
    """
    path = pathlib.Path(path)
    _refuse_existing(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not `tempfile`: its directories can be read by their owner alone, and a server
    # may run as someone else.
    draft = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
    draft.mkdir()
    try:
        yield draft
        _refuse_existing(path)
        draft.rename(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write(directory, manifest, arrays):
    """Writes `arrays`, a dict, as `<name>.npy`, and the manifest with their hashes."""
    hashes = {}
    for name, array in arrays.items():
        file = directory / f"{name}.npy"
        np.save(file, array, allow_pickle=False)
        hashes[file.name] = _sha256(file)
    manifest = {"format": FORMAT, **manifest, "sha256": hashes}
    text = json.dumps(manifest, indent=2) + "\n"
    (directory / MANIFEST).write_text(text, encoding="utf-8")


def read_manifest(directory):
    """Reads what an index says of itself.

    Raises:
        FileNotFoundError: If `directory` holds no index.
        ValueError: If its manifest is damaged or of a later format.
    """
    file = pathlib.Path(directory) / MANIFEST
    if not file.is_file():
        raise FileNotFoundError(
            f"There is no index at {str(directory)!r}: it has no {MANIFEST!r}."
        )
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        version = manifest["format"]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{str(file)!r} is not the manifest of an index.") from error
    if version != FORMAT:
        raise ValueError(
            f"{str(directory)!r} has index format {version}, but this kerasdml reads "
            f"format {FORMAT}. Build the index anew, or install the kerasdml that "
            "wrote it."
        )
    return manifest


def read_arrays(directory, manifest):
    """Reads the arrays of an index as a dict, each checked against its SHA-256.

    Raises:
        ValueError: If a file is missing or is not what was saved.
    """
    arrays = {}
    for name, expected in manifest["sha256"].items():
        file = pathlib.Path(directory) / name
        if not file.is_file() or _sha256(file) != expected:
            raise ValueError(
                f"{str(file)!r} is missing or was changed since the index was saved "
                "(its SHA-256 is not the manifest's). Copy or build the index anew."
            )
        arrays[file.stem] = np.load(file, allow_pickle=False)
    return arrays


def _refuse_existing(path):
    if path.exists():
        raise FileExistsError(
            f"{str(path)!r} exists already, and nothing is overwritten. Choose another "
            "path or remove it."
        )


def _sha256(file):
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
