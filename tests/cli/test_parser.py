import inspect
import re
import shlex
import subprocess
import sys

import keras
import pytest

import kerasdml
from kerasdml import cli

COMMANDS = ["train", "evaluate", "calibrate", "embed", "index", "search"]
COMMANDS += ["export", "serve", "deploy"]
ZOO_COMMANDS = ["zoo list", "zoo show", "zoo download"]

each_command = pytest.mark.parametrize("command", COMMANDS + ZOO_COMMANDS)


@pytest.fixture
def arguments(monkeypatch):
    """`arguments(words)` gives what a command would run with, and does not run it."""

    def parse(words):
        parsed = []
        for command in COMMANDS + ZOO_COMMANDS:
            monkeypatch.setattr(
                getattr(cli, command.replace(" ", "_")), "run", parsed.append
            )
        assert cli.main(words) == 0
        return parsed[0]

    return parse


@each_command
def test_help_has_an_example_that_parses(command, capsys, arguments):
    with pytest.raises(SystemExit) as exit:
        cli.main([*command.split(), "--help"])
    assert exit.value.code == 0
    shown = capsys.readouterr().out
    example = re.search(r"Example:\n\n +kerasdml (.+)\n", shown)[1]
    assert example.startswith(command)
    arguments(shlex.split(example))


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    for command in COMMANDS:
        assert re.search(rf"^ +{command}\s+[A-Z]", shown, re.MULTILINE)


def test_help_loads_nothing_heavy():
    code = (
        "import sys, kerasdml.cli\n"
        "try: kerasdml.cli.main(['train', '--help'])\n"
        "finally: print({'numpy', 'keras', 'tensorflow'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.stdout.splitlines()[-1] == "set()"


def test_version(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"kerasdml {kerasdml.__version__}\n"


@pytest.mark.parametrize("words", [[], ["fly"], ["train"], ["zoo"], ["search", "x"]])
def test_a_wrong_usage_exits_with_2(words, capsys):
    with pytest.raises(SystemExit) as exit:
        cli.main(words)
    assert exit.value.code == 2
    assert "usage: kerasdml" in capsys.readouterr().err


def test_an_error_is_one_line(monkeypatch, capsys):
    def fail(args):
        raise ValueError("This does\n  not fit.")

    monkeypatch.setattr(cli.zoo_list, "run", fail)
    assert cli.main(["zoo", "list"]) == 2
    assert capsys.readouterr().err == "kerasdml: This does not fit.\n"


def test_an_interrupt_is_no_traceback(monkeypatch):
    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.zoo_list, "run", interrupt)
    assert cli.main(["zoo", "list"]) == 130


# Command, option, and the Python call that has the same default for its argument.
DEFAULTS = [
    ("train d --out o", "backbone", lambda: kerasdml.models.Embedder, "backbone"),
    ("train d --out o", "dim", lambda: kerasdml.models.Embedder, "dim"),
    ("train d --out o", "weights", lambda: kerasdml.models.Embedder, "weights"),
    (
        "train d --out o",
        "per_class",
        lambda: kerasdml.data.balanced_batches,
        "per_class",
    ),
    ("train d --out o", "seed", lambda: kerasdml.data.balanced_batches, "seed"),
    ("train d --out o", "lr", lambda: keras.optimizers.Adam, "learning_rate"),
    ("evaluate m d", "metrics", lambda: kerasdml.metrics.evaluate, "metrics"),
    ("evaluate m d", "seed", lambda: kerasdml.metrics.evaluate, "seed"),
    ("evaluate m d", "repeats", lambda: kerasdml.metrics.evaluate, "repeats"),
    ("evaluate m d", "ties", lambda: kerasdml.metrics.retrieval, "ties"),
    ("evaluate m d", "average", lambda: kerasdml.metrics.retrieval, "average"),
    ("calibrate m d --out o", "prior", lambda: kerasdml.metrics.calibrate, "prior"),
    (
        "calibrate m d --out o",
        "false_match_rates",
        lambda: kerasdml.metrics.calibrate,
        "false_match_rates",
    ),
    (
        "calibrate m d --out o",
        "max_pairs",
        lambda: kerasdml.metrics.calibrate,
        "max_pairs",
    ),
    ("embed m d --out o", "shards", lambda: kerasdml.bulk.embed, "shards"),
    ("embed m d --out o", "batch_size", lambda: kerasdml.bulk.embed, "batch_size"),
    ("embed m d --out o", "skip_damaged", lambda: kerasdml.bulk.embed, "skip_damaged"),
    ("embed m d --out o", "image_key", lambda: kerasdml.bulk.embed, "image_key"),
    ("embed m d --out o", "id_key", lambda: kerasdml.bulk.embed, "id_key"),
    ("embed m d --out o", "label_key", lambda: kerasdml.bulk.embed, "label_key"),
    ("embed m d --out o", "runner", lambda: kerasdml.bulk.embed, "runner"),
    ("index e --out o", "similarity", lambda: kerasdml.index.Exact.build, "similarity"),
    ("index e --out o", "similarity", lambda: kerasdml.index.Scann.build, "similarity"),
    ("search p i", "k", lambda: kerasdml.serving.Client.search, "k"),
    ("export m --out o", "k", lambda: kerasdml.export.saved_model, "k"),
    ("serve p", "host", lambda: kerasdml.serving.serve, "host"),
    ("serve p", "port", lambda: kerasdml.serving.serve, "port"),
    ("serve p", "name", lambda: kerasdml.serving.serve, "name"),
    ("zoo list", "pattern", lambda: kerasdml.zoo.names, "pattern"),
    ("zoo download n", "source", lambda: kerasdml.zoo.download, "source"),
]


@pytest.mark.parametrize("words, option, call, argument", DEFAULTS)
def test_defaults_are_those_of_the_python_calls(
    words, option, call, argument, arguments
):
    default = inspect.signature(call()).parameters[argument].default
    assert getattr(arguments(words.split()), option) == default


def test_the_help_names_the_default_that_depends_on_the_data(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    parameters = inspect.signature(kerasdml.data.balanced_batches).parameters
    default = parameters["classes"].default
    assert f"(default: {default}, or all" in " ".join(capsys.readouterr().out.split())
