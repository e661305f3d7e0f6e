"""What `docs/migration.md` says to write can be written."""

import inspect
import math
import pathlib
import re

import pytest

import kerasdml

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / "docs/migration.md").read_text()
NAMES = dict(inspect.getmembers(kerasdml, inspect.ismodule))
ROWS = [
    line.strip("| ").split(" | ") for line in TEXT.splitlines() if line.startswith("| ")
]
HERE = [code for row in ROWS for code in re.findall("`(.+?)`", row[1])]


def test_the_names_in_it_exist():
    named = re.findall(rf"(?<![\w.])({'|'.join(NAMES)})\.(\w+)", " ".join(HERE))
    assert len(named) > 90
    for package, name in named:
        assert hasattr(NAMES[package], name), f"{package}.{name}"


def test_losses_miners_and_regularizers_can_be_constructed_as_it_shows():
    shown = [c for c in HERE if re.fullmatch(r"(losses|miners|regul\w+)\..*\)", c)]
    assert len(shown) > 80
    for code in shown:
        eval(code, {**NAMES, "C": 8, "radians": math.radians})


@pytest.mark.parametrize(
    "module", ["distances", "losses", "miners", "reducers", "regularizers", "samplers"]
)
def test_every_class_of_pytorch_metric_learning_is_in_it(module):
    library = pytest.importorskip(
        f"pytorch_metric_learning.{module}", reason="pip install '.[bench]'"
    )
    theirs = " ".join(row[0] for row in ROWS)
    for name, _ in inspect.getmembers(library, inspect.isclass):
        assert re.search(rf"\b{name}\b", theirs), name
