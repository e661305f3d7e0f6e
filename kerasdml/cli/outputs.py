"""Places to write to, checked before any work is done; nothing is overwritten."""

import pathlib


def new_folder(path):
    """Returns `path` as a folder that is empty, made if need be."""
    path = pathlib.Path(path)
    if not (path.is_dir() and not any(path.iterdir())):
        refuse_existing(path)
    path.mkdir(parents=True, exist_ok=True)
    return path


def new_file(path):
    """Returns `path` as a file to be made, in a folder that exists."""
    path = refuse_existing(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def refuse_existing(path):
    """Returns `path` if nothing is there, else raises a `FileExistsError`."""
    path = pathlib.Path(path)
    if path.exists():
        raise FileExistsError(
            f"{path} exists already, and nothing is overwritten. Choose another path."
        )
    return path
