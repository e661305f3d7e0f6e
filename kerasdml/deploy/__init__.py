"""Deploying: all that a server of exported models needs, written as files.

For TensorFlow Serving, by Docker Compose or on Kubernetes. Neither TensorFlow nor Keras
is loaded.
"""

import os
import pathlib
from collections.abc import Sequence

from kerasdml.deploy.files import render
from kerasdml.deploy.models import Model, read
from kerasdml.deploy.servers import Server, choose

__all__ = ["Model", "Server", "read", "write"]

# In every directory that `write` wrote, and what tells it from any other.
_MARK = "models.config"


def write(
    path: str | os.PathLike,
    models: Sequence[Model],
    image: str | None = None,
    force: bool = False,
) -> pathlib.Path:
    """Writes a directory from which a server of `models` starts.

    | file | for |
    |---|---|
    | `README.md` | the commands, and the names to ask for |
    | `models.config` | names, directories, versions and labels |
    | `batching.config` | putting requests together |
    | `monitoring.config`, `prometheus.yml` | counters, and their collection |
    | `ready.sh` | is a version of each model available? |
    | `docker-compose.yaml` | one machine |
    | `kustomization.yaml`, `kubernetes/` | a cluster |
    | `scann-server/Dockerfile` | a server with ScaNN's operations, if one needs it |

    The models stay where they are, and the directory refers to them.

    Args:
        path: Directory to write; new or empty, unless `force`.
        models: What to serve, one or more of `read`, each of a name of its own.
        image: Container image of the server; default: TensorFlow Serving's own, or one
            to be built by `scann-server/Dockerfile` where a model needs ScaNN.
        force: Whether to write over what an earlier call wrote. Files that are not its
            own stay.

    Returns:
        `path`, as a `pathlib.Path`.

    Raises:
        FileExistsError: If `path` holds something, and `force` is false or it was not
            written by this function.
        ValueError: If there are no models or two of one name, or if the default server
            is too old for a model or has another TensorFlow than its ScaNN.

    Example:

    >>> model = kerasdml.deploy.read("served/photos", versions=[3, 4])
    >>> kerasdml.deploy.write("deployments/photos", [model])
    """
    path = pathlib.Path(path)
    _check_names([model.name for model in models])
    server = choose(models, image)
    _check_free(path, force)
    for name, text in render(path, models, server).items():
        _replace(path / name, text)
    return path


def _check_names(names):
    if not names:
        raise ValueError("`models` must be one or more. Received: none.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"Two models are called {twice[0]!r}. Give one of them another name."
        )


def _check_free(path, force):
    if path.is_dir():
        if not any(path.iterdir()):
            return
        if (path / _MARK).is_file():
            if force:
                return
            raise FileExistsError(
                f"{path} holds a deployment already. Choose another path, or write "
                "over it with --force (`force=True`)."
            )
    elif not path.exists():
        return
    raise FileExistsError(
        f"{path} exists already, and no deployment was written there. Choose another "
        "path."
    )


def _replace(file, text):
    """Makes `file` hold `text`, or be gone, at once: a server may be reading it."""
    if text is None:
        file.unlink(missing_ok=True)
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(file)
