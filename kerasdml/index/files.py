"""Versions on disk: written whole, by one writer at a time, checked when read.

An index is a directory of versions, `<path>/<version>/`, each a manifest and `.npy`
files, never changed once it is there. No clock decides anything, and no file is
pickled.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import uuid

import numpy as np

MANIFEST = "index.json"
FORMAT = 2

_LOCK = ".lock"
_VERSION = re.compile(r"[1-9][0-9]*")
_ARRAY = re.compile(r"[a-z0-9_]+\.npy")


@contextlib.contextmanager
def new_directory(path):
    """Yields a directory to fill, which becomes `path` when the block succeeds.

    Who looks at `path`, such as a server that polls for new versions, sees all of it
    or nothing; a block that fails leaves nothing behind, and what a killed one left is
    removed by the next. What `path` holds is on the disk, not only in the memory of
    the system, when it appears.

    Raises:
        FileExistsError: If something is at `path` already. Nothing is overwritten.
    """
    path = pathlib.Path(path)
    _refuse_existing(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not `tempfile`: its directories can be read by their owner alone, and a server
    # may run as someone else.
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        with _locked(left) as abandoned:
            if abandoned:
                shutil.rmtree(left, ignore_errors=True)
    draft = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
    draft.mkdir()
    try:
        with _locked(draft):
            yield draft
            for entry in (*draft.rglob("*"), draft):
                _sync(entry)
            _refuse_existing(path)
            draft.rename(path)
            _sync(path.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextlib.contextmanager
def _locked(directory):
    """Locks a directory, if nobody else has; yields whether. It ends with the process.

    One that has just become something else, or nothing, is not there to be locked.
    """
    try:
        handle = os.open(directory, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(handle)


@contextlib.contextmanager
def only_writer(path):
    """Holds the lock of an index's directory, and removes drafts of killed writers.

    The system gives the lock back when a process ends, however it ends, so none has to
    be removed by hand.

    Raises:
        BlockingIOError: If another process, or thread, is writing to `path`.
    """
    path = pathlib.Path(path)
    path.mkdir(parents=True, exist_ok=True)
    with (path / _LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise BlockingIOError(
                error.errno,
                f"{str(path)!r} is being written to by another writer, process "
                f"{lock.read() or 'unknown'}. Save again when it has ended.",
            ) from error
        for draft in path.glob(".*.tmp"):
            shutil.rmtree(draft, ignore_errors=True)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def versions(path: str | os.PathLike) -> list[int]:
    """The versions of an index that are on disk, ascending; none of no index."""
    path = pathlib.Path(path)
    if not path.is_dir():
        return []
    names = [entry.name for entry in path.iterdir() if entry.is_dir()]
    return sorted(int(name) for name in names if _VERSION.fullmatch(name))


def write(directory, manifest, arrays, unchanged):
    """Writes `arrays` as `<name>.npy`, and the manifest with size and hash of each.

    Args:
        directory: Where to, empty.
        manifest: What an index says of itself, as JSON can hold it.
        arrays: NumPy arrays by name.
        unchanged: Of names among `arrays`, the `(path, sha256)` of a file that an
            earlier version has; it is linked, not written again.

    Returns:
        `{name: (path, sha256)}` of the files in `directory`.
    """
    hashes = {}
    for name, array in arrays.items():
        file = directory / f"{name}.npy"
        if name not in unchanged or not _linked(*unchanged[name], file):
            np.save(file, array, allow_pickle=False)
        hashes[name] = sha256(file)
    write_manifest(
        directory,
        {**manifest, "files": {f"{name}.npy": hashes[name] for name in arrays}},
    )
    return {name: (directory / f"{name}.npy", hashes[name]) for name in arrays}


def write_manifest(directory, manifest):
    """Writes what an index says of itself, with a hash of that."""
    manifest = {"format": FORMAT, **manifest}
    text = json.dumps({**manifest, "sha256": _hash_of(manifest)}, indent=2) + "\n"
    (directory / MANIFEST).write_text(text, encoding="utf-8")


def read_manifest(directory):
    """Reads what an index says of itself.

    Raises:
        FileNotFoundError: If `directory` holds no index.
        ValueError: If its manifest is damaged or of another format.
    """
    file = pathlib.Path(directory) / MANIFEST
    if not file.is_file():
        raise FileNotFoundError(
            f"There is no index at {str(directory)!r}: it has no {MANIFEST!r}."
        )
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        version, stated = manifest["format"], manifest.pop("sha256")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{str(file)!r} is not the manifest of an index.") from error
    if version != FORMAT:
        raise ValueError(
            f"{str(directory)!r} has index format {version}, but this kerasdml reads "
            f"format {FORMAT}. Build the index anew, or install the kerasdml that "
            "wrote it."
        )
    if _hash_of(manifest) != stated:
        raise ValueError(
            f"{str(file)!r} was changed since the index was saved (its SHA-256 is not "
            "the one it states). Copy or build the index anew."
        )
    return manifest


def read_arrays(directory, manifest, mmap):
    """Reads the arrays of an index, each checked against its SHA-256.

    Returns:
        `(arrays, files)`: `{name: array}`, of which nothing is in memory yet with
        `mmap`, and `{name: (path, sha256)}`.

    Raises:
        ValueError: If a file is missing or is not what was saved.
    """
    arrays, files = {}, {}
    for name, expected in manifest["files"].items():
        if not _ARRAY.fullmatch(name):
            raise ValueError(
                f"The manifest of {str(directory)!r} names a file outside: {name!r}."
            )
        file = pathlib.Path(directory) / name
        check(file, expected)
        # "c": TensorFlow takes no memory that is marked as read-only. Nobody writes.
        mode = "c" if mmap else None
        arrays[file.stem] = np.load(file, mmap_mode=mode, allow_pickle=False)
        files[file.stem] = (file, expected)
    return arrays, files


def check(file, expected):
    """Raises a `ValueError` if `file` is missing or has another SHA-256."""
    if not file.is_file() or sha256(file) != expected:
        raise ValueError(
            f"{str(file)!r} is missing or was changed since the index was saved "
            "(its SHA-256 is not the manifest's). Copy or build the index anew."
        )


def sha256(file):
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _hash_of(manifest):
    text = json.dumps(manifest, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _linked(source, expected, file):
    """Gives `source` a second name, if it is still what it was and disks allow it."""
    try:
        if sha256(source) != expected:
            return False
        os.link(source, file)
    except OSError:
        return False
    return True


def _sync(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refuse_existing(path):
    if path.exists():
        raise FileExistsError(
            f"{str(path)!r} exists already, and nothing is overwritten. Choose another "
            "path or remove it."
        )
