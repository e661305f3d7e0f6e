"""Imports go one way."""

import ast
import pathlib

import pytest

import kerasdml

PACKAGE = pathlib.Path(kerasdml.__file__).parent
LEVELS = [
    {"ops", "config", "step", "version"},
    {"layers", "index", "optimizers", "pictures"},
    {"miners", "references", "metrics", "regularizers"},
    {"losses"},
    {"models", "data"},
    {"callbacks", "export", "reports"},
    {"zoo", "serving"},
    {"bulk", "deploy"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}


def imports(path, nested=True):
    """The names of modules that a file imports, those inside functions too."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree) if nested else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "kerasdml":
            yield from (f"kerasdml.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_lower_layers(path):
    here = room(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "kerasdml" or len(parts) == 1 or parts[1] == here:
            continue
        assert LEVEL[parts[1]] < LEVEL[here], f"{here} must not import {parts[1]}"


PURE = {
    "ops",
    "step",
    "layers",
    "optimizers",
    "miners",
    "references",
    "regularizers",
    "losses",
    "metrics",
    "models",
}


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if room(path) in PURE],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_what_runs_on_every_backend_imports_none(path):
    # But for a branch of one backend, which imports it there.
    backends = {"tensorflow", "jax", "torch"}
    found = imports(path, nested="keras.backend.backend()" not in path.read_text())
    assert not backends & {name.split(".")[0] for name in found}
