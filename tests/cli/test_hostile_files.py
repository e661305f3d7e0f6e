"""Files of strangers are read: nothing in them is run, or written elsewhere."""

import os
import shutil
import zipfile

import keras
import numpy as np
import pytest

import kerasdml
from tests.cli.conftest import run


@pytest.fixture
def bomb(tmp_path):
    """An object that makes `exploded` when it is unpickled; checks that it was not."""

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    yield np.array([Bomb()], object)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("name", ["embeddings", "ids", "labels", "metadata"])
def test_index_never_unpickles(refuse, bomb, tmp_path, name):
    arrays = {"embeddings": np.eye(1), "ids": [0], "labels": [0], name: bomb}
    np.savez(tmp_path / "x.npz", **arrays)
    words = ("index", tmp_path / "x.npz", "--out", tmp_path / "index")
    assert "allow_pickle=False" in refuse(*words)


@pytest.mark.parametrize("name", ["images", "labels", "class_names"])
def test_packs_are_never_unpickled(refuse, bomb, embedder, tmp_path, name):
    arrays = {
        "images": np.zeros((1, 16, 16), np.uint8),
        "labels": np.zeros(1, int),
        "class_names": np.array(["a"]),
    }
    np.savez(tmp_path / "x.npz", **arrays | {name: bomb})
    assert "allow_pickle=False" in refuse("evaluate", embedder, tmp_path / "x.npz")


def test_an_embedder_with_code_of_its_own_is_refused(refuse, tmp_path):
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
    model.add(keras.layers.Lambda(lambda x: x + 1))
    model.save(tmp_path / "x.keras")
    err = refuse("export", tmp_path / "x.keras", "--out", tmp_path / "out")
    assert "lambda" in err.lower() and not (tmp_path / "out").exists()


def append(archive, *names):
    with zipfile.ZipFile(archive, "a") as file:
        for name in names:
            file.writestr(name, b"escaped")


@pytest.mark.filterwarnings("ignore:Skipping invalid path")
def test_archives_write_nothing_beside_them(embedder, tmp_path):
    home = tmp_path / "a" / "b"
    home.mkdir(parents=True)
    names = "../escaped.npy", "../../escaped", str(tmp_path / "escaped")
    np.savez(home / "x.npz", embeddings=np.eye(3))
    append(home / "x.npz", *names)
    run("index", home / "x.npz", "--out", home / "index")
    shutil.copy(embedder, home / "x.keras")
    append(home / "x.keras", *names)
    kerasdml.zoo.load(home / "x.keras")
    assert not list(tmp_path.rglob("escaped*"))
