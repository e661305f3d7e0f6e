"""Finding the versions of a model on disk, and which of them to serve."""

import pathlib
from collections.abc import Iterable, Sequence
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
    return max(versions(path, name).values(), key=lambda version: version.number)


def versions(path, name: str | None = None) -> dict[int, Version]:
    """Every SavedModel under `path`, by its number; arguments and errors of `latest`.

    As for TF Serving, a version is a directory whose name is a number; what lacks its
    `saved_model.pb` is still being written and passed over.
    """
    path = pathlib.Path(path).resolve()
    found = _versions(path)
    if not found:
        raise FileNotFoundError(
            f"`path` must hold a SavedModel, as <path>/<version>/saved_model.pb. "
            f"Received: {path}. Write one with `kerasdml.export.saved_model`."
        )
    if name is None:
        home = next(iter(found.values()))
        name = (home.parent if home.name.isdecimal() else home).name
    if not name or set(name) & set("/:"):
        raise ValueError(
            f"`name` must be a word without '/' and ':'. Received: name={name!r}."
        )
    return {number: Version(home, name, number) for number, home in found.items()}


def chosen(policy: str | Sequence[int], numbers: Iterable[int]) -> list[int]:
    """The versions that a policy serves, newest first.

    Args:
        policy: "latest", "latest:N", "all" or a list of numbers.
        numbers: Of the versions there are.
    """
    newest_first = sorted(numbers, reverse=True)
    if policy == "all":
        return newest_first
    if isinstance(policy, str):
        return newest_first[: int(policy.partition(":")[2] or 1)]
    return [number for number in newest_first if number in policy]


def _versions(path):
    if (path / "saved_model.pb").exists():
        return {int(path.name) if path.name.isdecimal() else 1: path}
    return {
        int(file.parent.name): file.parent
        for file in path.glob("*/saved_model.pb")
        if file.parent.name.isdecimal()
    }
