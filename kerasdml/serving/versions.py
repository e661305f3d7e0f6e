"""Finding the version of a model that is served."""

import pathlib
from typing import NamedTuple


class Version(NamedTuple):
    """A SavedModel on disk and the names it is served under."""

    path: pathlib.Path
    name: str
    number: int


def latest(path, name: str | None = None) -> Version:
    """The SavedModel with the highest version number under `path`.

    Args:
        path: A directory with one SavedModel for each version,
            `<path>/<version>/saved_model.pb`, or such a version itself.
        name: Name of the model in URLs, without `/` and `:`; default: that of the
            directory which holds the versions.

    Raises:
        FileNotFoundError: If there is no SavedModel.
        ValueError: If `name` cannot stand in a URL.
    """
    path = pathlib.Path(path).resolve()
    found = _versions(path)
    if not found:
        raise FileNotFoundError(
            f"`path` must hold a SavedModel, as <path>/<version>/saved_model.pb. "
            f"Received: {path}. Write one with `kerasdml.export.saved_model`."
        )
    number, home = max(found.items())
    name = (
        (home.parent if home.name.isdecimal() else home).name if name is None else name
    )
    if not name or set(name) & set("/:"):
        raise ValueError(
            f"`name` must be a word without '/' and ':'. Received: name={name!r}."
        )
    return Version(home, name, number)


def _versions(path):
    if (path / "saved_model.pb").exists():
        return {int(path.name) if path.name.isdecimal() else 1: path}
    return {
        int(file.parent.name): file.parent
        for file in path.glob("*/saved_model.pb")
        if file.parent.name.isdecimal()
    }
