"""Images of six classes, and each thing that a command makes of them."""

import contextlib
import io

import numpy as np
import pytest
from PIL import Image

import kerasdml
from kerasdml import cli
from tests.zoo.conftest import published  # noqa: F401


def run(*argv):
    """What a command that must succeed prints."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([str(word) for word in argv])
    assert code == 0, err.getvalue()
    return out.getvalue()


@pytest.fixture
def refuse(capsys):
    """`refuse(*words)` gives the one line on stderr of a command that must fail."""

    def call(*argv):
        assert cli.main([str(word) for word in argv]) == 2
        err = capsys.readouterr().err
        assert err.startswith("kerasdml: ") and err.count("\n") == 1
        return err

    return call


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """6 classes of 6 grey images: a bright bar at a place of the class, and noise."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(6):
        (folder / f"class{number}").mkdir()
        for i in range(6):
            image = rng.integers(0, 60, (16, 16), dtype=np.uint8)
            image[2 * number : 2 * number + 3] += 150
            Image.fromarray(image).save(folder / f"class{number}" / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def trained(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "1"
    words = "--size 16 --dim 8 --classes 2 --per-class 3 --epochs 2 --no-augment"
    words += " --test-fraction 0.34"  # of six classes two, and two to validate on
    return out, run("train", photos, "--out", out, *words.split())


@pytest.fixture(scope="session")
def embedder(trained):
    return trained[0] / "embedder.keras"


@pytest.fixture(scope="session")
def embedded(photos, embedder, tmp_path_factory):
    out = tmp_path_factory.mktemp("embedded") / "photos.npz"
    run("embed", embedder, photos, "--out", out)
    return out


@pytest.fixture(scope="session")
def indexed(embedded, tmp_path_factory):
    out = tmp_path_factory.mktemp("indexed") / "photos.index"
    run("index", embedded, "--out", out)
    return out


@pytest.fixture(scope="session")
def exported(photos, embedder, indexed, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported") / "photos"
    words = ["--index", indexed, "--examples", photos / "class0/0.png", "-k", 4]
    run("export", embedder, *words, "--out", out)
    return out


@pytest.fixture(scope="session")
def calibrated(photos, embedder, tmp_path_factory):
    """The file that calibrate wrote, and what it printed."""
    out = tmp_path_factory.mktemp("calibrated") / "photos.json"
    words = ["--false-match-rates", "0", "1e-1", "--unknown", "0.34"]
    return out, run("calibrate", embedder, photos, "--out", out, *words)


@pytest.fixture(scope="session")
def matching(embedder, indexed, calibrated, tmp_path_factory):
    """What export wrote with a calibration."""
    out = tmp_path_factory.mktemp("matching") / "photos"
    words = ["--index", indexed, "--calibration", calibrated[0], "-k", 4]
    run("export", embedder, *words, "--out", out)
    return out


@pytest.fixture(scope="session")
def pack():
    """Arrays of noise in colour with a split of its own: classes 1, 3, 5 test."""
    labels = np.repeat(np.arange(6), 6)
    return kerasdml.data.Pack(
        images=np.random.default_rng(0).integers(0, 256, (36, 20, 20, 3), np.uint8),
        labels=labels,
        class_names=np.array([f"class{number}" for number in range(6)]),
        split=labels % 2,
    )
