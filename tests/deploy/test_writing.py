"""What is read of models, what is refused, and what is written over."""

import pathlib

import pytest

from kerasdml import deploy
from kerasdml.cli import main

ROOT = pathlib.Path(__file__).parents[2]


def test_a_published_model_is_read():
    home = ROOT / "saved_models/conv4.multi_similarity_omniglot"
    model = deploy.read(home)
    assert (model.name, model.served) == (home.name, (1,))
    assert {"embed", "search", "serving_default"} <= set(model.signatures)
    assert not any(name.startswith("__") for name in model.signatures)
    assert not model.needs_scann and model.tensorflow.startswith("2.20.")


def test_versions_that_are_not_served_do_not_count(version, tmp_path):
    version("birds", 1, ["Scann>ScannSearchBatched"], tensorflow="2.19.0")
    home = version("birds", 2)
    assert not deploy.read(home).needs_scann
    assert deploy.read(home, versions="all").needs_scann
    assert deploy.read(home, versions=[1]).tensorflow == "2.19.0"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"name": "a/b"}, "must be of letters, digits, .* Received: 'a/b'"),
        ({"versions": "newest"}, "`versions` must be 'latest'"),
        ({"versions": [3]}, r"has no version 3; it has \[1, 2\]"),
        ({"labels": {"stable": 2}}, "'latest' will leave behind"),
        (
            {"labels": {"stable": 3}, "versions": "all"},
            "version 3, which is not served",
        ),
        ({"labels": {"a b": 2}, "versions": "all"}, "A label must be of letters"),
    ],
)
def test_what_does_not_fit_is_refused(options, message, version):
    version("birds", 1)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        deploy.read(version("birds", 2), **options)


def test_what_is_no_model_is_refused(version, tmp_path):
    home = version("birds", 1)
    with pytest.raises(FileNotFoundError, match="must hold a SavedModel"):
        deploy.read(tmp_path)
    with pytest.raises(ValueError, match="is a version of a model"):
        deploy.read(home / "1")
    (home / "1/saved_model.pb").write_bytes(b"\xff" * 9)
    with pytest.raises(ValueError, match="damaged"):
        deploy.read(home)
    with pytest.raises(ValueError, match="tag 'serve'"):
        deploy.read(version("fish", 1, tags=["train"]))


def test_a_server_that_does_not_fit_is_refused(version, tmp_path):
    search = ["Scann>ScannSearchBatched"]
    old = deploy.read(version("old", 1, search, tensorflow="2.19.1"))
    new = deploy.read(version("new", 1, tensorflow="2.21.0"))
    with pytest.raises(ValueError, match="ScaNN 1.4.2 is for the same TensorFlow"):
        deploy.write(tmp_path / "out", [old])
    with pytest.raises(ValueError, match="by TensorFlow 2.21.0, .* may lack"):
        deploy.write(tmp_path / "out", [new])
    assert not (tmp_path / "out").exists()
    out = deploy.write(tmp_path / "out", [old, new], image="us/server:1")
    assert 'image: "us/server:1"' in (out / "docker-compose.yaml").read_text()
    assert not (out / "scann-server/Dockerfile").exists()
    # Stock operations of an older TensorFlow run on a newer one.
    earlier = deploy.read(version("earlier", 1, tensorflow="2.15.0"))
    deploy.write(tmp_path / "other", [earlier])


def test_nothing_is_overwritten_unless_asked(version, tmp_path):
    model = deploy.read(version("birds", 1))
    scann = deploy.read(version("fish", 1, ["Scann>ScannSearchBatched"]))
    out = deploy.write(tmp_path / "out", [scann])
    (out / "note.txt").write_text("mine")
    before = (out / "models.config").read_text()
    with pytest.raises(FileExistsError, match="--force"):
        deploy.write(out, [model])
    assert (out / "models.config").read_text() == before
    deploy.write(out, [model], force=True)
    assert '"birds"' in (out / "models.config").read_text()
    assert (out / "note.txt").read_text() == "mine"
    assert not (out / "scann-server/Dockerfile").exists()
    assert not list(out.rglob("*.draft"))
    with pytest.raises(FileExistsError, match="no deployment was written there"):
        deploy.write(model.home, [model], force=True)


def test_names_are_of_one_model_each(version, tmp_path):
    model = deploy.read(version("birds", 1))
    with pytest.raises(ValueError, match="Two models are called 'birds'"):
        deploy.write(tmp_path / "out", [model, model])
    with pytest.raises(ValueError, match="one or more"):
        deploy.write(tmp_path / "out", [])


def test_the_command_gives_each_model_its_own(version, tmp_path, capsys):
    version("birds", 1)
    birds, fish = version("birds", 2), version("fish", 5)
    words = ["deploy", tmp_path / "out", birds, f"carp={fish}"]
    words += ["--versions", "latest:3", "--versions", "birds/1,2"]
    words += ["--label", "birds/stable=1"]
    assert main([str(word) for word in words]) == 0
    assert "README.md has the commands" in capsys.readouterr().out
    readme = (tmp_path / "out/README.md").read_text()
    assert "| `birds` | 1, 2 | stable = 1 | `search` |" in readme
    assert "| `carp` | latest:3 | none | `search` |" in readme
    assert main([str(word) for word in words]) == 2
    assert "--force" in capsys.readouterr().err
    assert main([str(word) for word in [*words, "--force"]]) == 0
    assert main([*map(str, words), "--label", "cats/a=1"]) == 2
    assert "'cats', which is not deployed" in capsys.readouterr().err
