"""The text of each file of a deployment."""

import json
import os
import pathlib
import string

from google.protobuf import json_format, text_format

from kerasdml.deploy.servers import SCANN, SCANN_COMMIT, TF_SERVING
from kerasdml.serving import protos

_TEMPLATES = pathlib.Path(__file__).with_name("templates")
_DOCKERFILE = "scann-server/Dockerfile"


def render(path, models, server) -> dict[str, str | None]:
    """Name in the deployment `path` to text of each file; None: not for this server."""
    words = {
        "image": json.dumps(server.image),
        "names": ", ".join(f'"{model.name}"' for model in models),
        "name": models[0].name,
        "memory": f"{_gibibytes(models)}Gi",
        "volumes": _volumes(path, models),
        "build": "    build: scann-server\n" if server.is_built else "",
        "table": "\n".join(map(_row, models)),
        "scann_note": _template("scann-note.md") if server.is_built else "",
        "tf_serving": TF_SERVING,
        "scann": SCANN,
        "scann_commit": SCANN_COMMIT,
    }
    as_they_are = ["batching.config", "monitoring.config", "ready.sh", "prometheus.yml"]
    filled = ["README.md", "docker-compose.yaml", "kustomization.yaml"]
    filled += [f"kubernetes/{file.name}" for file in _TEMPLATES.glob("kubernetes/*")]
    filled += [_DOCKERFILE]
    files: dict[str, str | None] = {name: _template(name) for name in as_they_are}
    for name in filled:
        files[name] = string.Template(_template(pathlib.Path(name))).substitute(words)
    if not server.is_built:
        files[_DOCKERFILE] = None
    return files | {"models.config": models_config(models)}


def models_config(models) -> str:
    """A `ModelServerConfig`, as text."""
    config = {"modelConfigList": {"config": [_model_config(model) for model in models]}}
    message = json_format.ParseDict(config, protos.ModelServerConfig())
    return text_format.MessageToString(message)


def _model_config(model):
    return {
        "name": model.name,
        "basePath": f"/models/{model.name}",
        "modelPlatform": "tensorflow",
        "modelVersionPolicy": _policy(model.versions),
        "versionLabels": model.labels,
    }


def _policy(versions):
    if versions == "all":
        return {"all": {}}
    if isinstance(versions, str):
        return {"latest": {"numVersions": int(versions.partition(":")[2] or 1)}}
    return {"specific": {"versions": sorted(set(versions))}}


def _volumes(path, models):
    """Of Docker Compose: the models, from where they are on this machine."""
    return "\n".join(
        f"      - type: bind\n"
        f"        source: {_quoted(_from(path, model.home))}\n"
        f"        target: /models/{model.name}\n"
        f"        read_only: true"
        for model in models
    )


def _from(path, home):
    # Docker Compose takes for a path only what begins with a dot or a slash.
    relative = os.path.relpath(home, path.resolve())
    return relative if relative.startswith("..") else f"./{relative}"


def _quoted(word):
    # YAML has JSON's strings, and Docker Compose puts variables in the place of "$".
    return json.dumps(word, ensure_ascii=False).replace("$", "$$")


def _row(model):
    labels = ", ".join(f"{label} = {n}" for label, n in model.labels.items()) or "none"
    versions = model.versions
    if not isinstance(versions, str):
        versions = ", ".join(map(str, sorted(set(versions))))
    signatures = ", ".join(f"`{name}`" for name in model.signatures)
    return f"| `{model.name}` | {versions} | {labels} | {signatures} |"


def _gibibytes(models):
    # A version and its successor are both in memory while one replaces the other.
    return 1 + -(-2 * sum(model.bytes for model in models) // 2**30)


def _template(name):
    return (_TEMPLATES / name).read_text(encoding="utf-8")
