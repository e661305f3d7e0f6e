"""What a server has to know of an exported model, read from its directory."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

from google.protobuf.message import DecodeError

from kerasdml.serving import protos
from kerasdml.serving.options import Options
from kerasdml.serving.versions import chosen
from kerasdml.serving.versions import versions as versions_in


@dataclasses.dataclass(frozen=True)
class Model:
    """A model to serve; made by `read`.

    Args:
        name: In URLs and in `ModelSpec`.
        home: Directory of the versions.
        versions: Which are served: "latest", "latest:N", "all" or a list of numbers.
        labels: Label to number of version.
        served: Numbers of the versions that `versions` means now, newest first.
        signatures: Names of those of the newest of them, sorted.
        needs_scann: Whether one of them has ScaNN's operations.
        tensorflow: Newest version of TensorFlow that wrote one of them, as "2.20.0".
        bytes: Size of all that is served, on disk.
    """

    name: str
    home: pathlib.Path
    versions: str | Sequence[int]
    labels: Mapping[str, int]
    served: tuple[int, ...]
    signatures: tuple[str, ...]
    needs_scann: bool
    tensorflow: str
    bytes: int


def read(
    home: str | os.PathLike,
    name: str | None = None,
    versions: str | Sequence[int] = "latest",
    labels: Mapping[str, int] | None = None,
) -> Model:
    """Reads what `export.saved_model` wrote, without loading it.

    Args:
        home: Directory of the versions, `<home>/<version>/saved_model.pb`.
        name: Of letters, digits, `.`, `_` and `-`; default: the last folder of `home`.
        versions: Which to serve: "latest", "latest:N", "all" or a list of numbers.
        labels: Label to number of version, such as `{"stable": 3}`. TensorFlow Serving
            does not load a version for its label, so `versions` must keep it: "all", or
            a list that has it.

    Raises:
        FileNotFoundError: If `home` holds no version, or not one that is listed.
        ValueError: If `name`, `versions` or `labels` is not as told above, or if a
            version is damaged.

    Example:

    >>> kerasdml.deploy.read("served/photos", versions="all", labels={"stable": 3})
    """
    home, labels = pathlib.Path(home).resolve(), dict(labels or {})
    if (home / "saved_model.pb").exists():
        raise ValueError(
            f"{home} is a version of a model. Give the directory that holds its "
            "versions, <directory>/<version>/saved_model.pb."
        )
    Options(versions=versions)  # checks them
    found = versions_in(home)
    name = home.name if name is None else name
    _check_name(name, "A model's name")
    served = chosen(versions, found)
    _check_listed(home, versions, found)
    _check_labels(labels, versions, served)
    graphs = [_graph(found[number].path) for number in served]
    return Model(
        name=name,
        home=home,
        versions=versions,
        labels=labels,
        served=tuple(served),
        signatures=tuple(sorted(_public(graphs[0].signature_def))),
        needs_scann=any(map(_needs_scann, graphs)),
        tensorflow=max((g.meta_info_def.tensorflow_version for g in graphs), key=minor),
        bytes=sum(_size(found[number].path) for number in served),
    )


def minor(version: str) -> tuple[int, int]:
    """The first two numbers of a version: (2, 20) of "2.20.0"."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


def _check_name(name, what):
    # It stands in URLs, paths, YAML and the words of a shell.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(
            f"{what} must be of letters, digits, '.', '_' and '-', and begin with a "
            f"letter or digit. Received: {name!r}."
        )


def _check_listed(home, versions, found):
    missing = [] if isinstance(versions, str) else sorted(set(versions) - set(found))
    if missing:
        raise FileNotFoundError(
            f"{home} has no version {missing[0]}; it has {sorted(found)}."
        )


def _check_labels(labels, versions, served):
    for label, number in labels.items():
        _check_name(label, "A label")
        if isinstance(versions, str) and versions != "all":
            raise ValueError(
                f"The label {label!r} names a version that {versions!r} will leave "
                "behind. Serve 'all' versions, or a list that has it, such as "
                f"{number}."
            )
        if number not in served:
            raise ValueError(
                f"The label {label!r} names version {number}, which is not served. "
                f"Those served: {sorted(served)}."
            )


def _graph(version):
    """The part of a version that servers run."""
    file = version / "saved_model.pb"
    try:
        saved = protos.SavedModel.FromString(file.read_bytes())
    except DecodeError as error:
        raise ValueError(f"{file} is damaged: it is no SavedModel.") from error
    for graph in saved.meta_graphs:
        if "serve" in graph.meta_info_def.tags:
            return graph
    raise ValueError(f"{file} must have a graph with the tag 'serve'. It has none.")


def _public(signatures):
    return [name for name in signatures if not name.startswith("__")]


def _needs_scann(graph):
    operations = graph.meta_info_def.stripped_op_list.op
    return any(operation.name.startswith("Scann>") for operation in operations)


def _size(version):
    return sum(file.stat().st_size for file in version.rglob("*") if file.is_file())
