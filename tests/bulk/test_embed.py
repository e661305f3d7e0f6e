"""One process: what is read, what is written, what is refused."""

import pathlib
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from kerasdml import index
from kerasdml.bulk import sources
from tests.bulk.conftest import contents, read, write_records


@pytest.fixture
def expected(embedder, pictures):
    return keras.saving.load_model(embedder).predict(pictures, verbose=0)


def test_a_list_is_embedded_in_its_order(embed, listed, expected, embedder, tmp_path):
    path, names, labels = listed
    written = embed(path, tmp_path / "out", shards=3)
    assert [pathlib.Path(path).name for path in written.paths] == [
        f"embeddings-0000{i}-of-00003.npz" for i in range(3)
    ]
    assert (written.embeddings, written.damaged) == (10, 0)
    arrays = read(written)
    assert arrays["ids"].tolist() == names
    assert arrays["labels"].tolist() == labels
    np.testing.assert_allclose(arrays["embeddings"], expected, atol=1e-5)
    model = keras.saving.load_model(embedder)
    assert np.load(written.paths[0])["embedder"] == index.fingerprint(model)


@pytest.mark.parametrize("shards", range(1, 11))
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_a_list_divides_into_any_number_of_shards(listed, shards, chunk, monkeypatch):
    monkeypatch.setattr("kerasdml.bulk.files._CHUNK", chunk)
    path, names, _ = listed
    found = sources.collection(path, "out", shards, "", None, None)
    assert found.rows == 10 and len(found.parts) == shards
    ids = [name for part in found.parts for name, *_ in part.examples()]
    assert [name.numpy().decode() for name in ids] == names
    assert {part.rows for part in found.parts} <= {10 // shards, -(-10 // shards)}


def test_a_folder_is_embedded_as_its_classes(embed, pictures, expected, tmp_path):
    for i, picture in enumerate(pictures):
        (tmp_path / f"photos/class{i // 5}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(tmp_path / f"photos/class{i // 5}/{i}.png")
    arrays = read(embed(tmp_path / "photos", tmp_path / "out", shards=2))
    assert arrays["ids"].tolist() == [f"class{i // 5}/{i}.png" for i in range(10)]
    assert arrays["labels"].tolist() == ["class0"] * 5 + ["class1"] * 5
    np.testing.assert_allclose(arrays["embeddings"], expected, atol=1e-5)


def test_tfrecords_give_ids_and_labels_by_their_keys(
    embed, pictures, expected, tmp_path
):
    for i, rows in enumerate([slice(3), slice(3, 10)]):
        count = len(pictures[rows])
        write_records(
            tmp_path / f"{i}.tfrecord",
            pictures[rows],
            image__filename=[f"{i}-{j}.jpg".encode() for j in range(count)],
            image__class__text=[b"cat"] * count,
            image__class__label=list(range(count)),
        )
    pattern = tmp_path / "*.tfrecord"
    arrays = read(embed(pattern, tmp_path / "out", shards=2))
    assert arrays["ids"][[0, 3, 9]].tolist() == ["0-0.jpg", "1-0.jpg", "1-6.jpg"]
    assert set(arrays["labels"]) == {"cat"}
    np.testing.assert_allclose(arrays["embeddings"], expected, atol=1e-5)
    keys = {"id_key": "", "label_key": "image/class/label"}
    arrays = read(embed(pattern, tmp_path / "other", **keys))
    assert arrays["ids"][[0, 9]].tolist() == ["0.tfrecord:0", "1.tfrecord:6"]
    assert arrays["labels"].tolist() == [*range(3), *range(7)]
    none = embed(pattern, tmp_path / "unlabelled", label_key="")
    assert "labels" not in read(none)


def test_tfrecords_that_are_none_are_refused(embed, pictures, tmp_path):
    path, out = tmp_path / "a.tfrecord", tmp_path / "out"
    write_records(path, pictures)
    with pytest.raises(
        ValueError, match=r"`label_key` .* has image/encoded \(string\)"
    ):
        embed(path, out, label_key="species")
    with pytest.raises(ValueError, match="`shards` must be from 1 to 1, the number of"):
        embed(path, out, shards=2)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="a.tfrecord cannot be read: truncated record"):
        embed(path, out)
    path.write_text("nothing of the kind, and long enough")
    with pytest.raises(ValueError, match="must be a TFRecord file of tf.train.Example"):
        embed(path, out)
    with pytest.raises(ValueError, match="`source` must be a folder with"):
        embed(tmp_path / "nothing", out)


def test_labels_are_in_every_line_or_in_none(embed, listed, tmp_path):
    path, *_ = listed
    path.write_text("images/1.png\tcat\nimages/2.png\n")
    with pytest.raises(ValueError, match="every line or in none. Received: 'images/2"):
        embed(path, tmp_path / "out")
    path.write_text("images/1.png\n\nimages/2.png\n")
    arrays = read(embed(path, tmp_path / "other"))
    assert arrays["ids"].tolist() == ["images/1.png", "images/2.png"]
    assert "labels" not in arrays


@pytest.fixture
def damaged(listed):
    """A list with a truncated file, one of nothing, and one that is missing."""
    path, names, _ = listed
    whole = (path.parent / names[0]).read_bytes()
    (path.parent / names[0]).write_bytes(whole[: len(whole) // 2])
    (path.parent / names[1]).write_bytes(b"")
    (path.parent / names[7]).unlink()
    return path, [names[0], names[1], names[7]]


def test_a_damaged_image_is_named(embed, damaged, tmp_path):
    path, bad = damaged
    with pytest.raises(ValueError, match=f"{bad[0]} cannot be read as an image: "):
        embed(path, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["plan.json"]


def test_damaged_images_are_left_out_counted_and_listed(
    embed, damaged, expected, tmp_path
):
    path, bad = damaged
    written = embed(path, tmp_path / "out", shards=5, skip_damaged=True)
    assert (written.embeddings, written.damaged) == (7, 3)
    np.testing.assert_allclose(
        read(written)["embeddings"], np.delete(expected, [0, 1, 7], axis=0), atol=1e-5
    )
    lists = sorted((tmp_path / "out").glob("*.damaged.tsv"))
    assert [p.name[:16] for p in lists] == ["embeddings-00000", "embeddings-00003"]
    lines = [line for p in lists for line in p.read_text().splitlines()]
    assert [line.partition("\t")[0] for line in lines] == bad
    assert "No such file" in lines[2]
    # All of the first shard was damaged.
    assert np.load(written.paths[0])["embeddings"].shape == (0, 4)


CUT_SHORT = """
import os, pathlib, signal, sys
from kerasdml import bulk
from kerasdml.bulk import worker

whole = worker.shutil.copyfileobj
written = []

def half(source, target, length):
    if len(written) == 1:
        target.write(source.read(200))
        target.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    written.append(target)
    whole(source, target, length)

worker.shutil.copyfileobj = half
bulk.embed(*sys.argv[1:], shards=3, batch_size=2, verbose=0)
"""


def test_what_was_killed_goes_on(embed, embedder, listed, tmp_path):
    path, *_ = listed
    undisturbed = contents(
        pathlib.Path(embed(path, tmp_path / "1", shards=3).paths[0]).parent
    )
    out = tmp_path / "2"
    words = [sys.executable, "-c", CUT_SHORT, embedder, path, out]
    killed = subprocess.run(words, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    left = contents(out)
    assert left.keys() & undisturbed.keys() == {
        "plan.json",
        "embeddings-00000-of-00003.npz",
    }
    assert len(left) == 3, "a draft of the second"
    first = out / "embeddings-00000-of-00003.npz"
    before = first.stat().st_mtime_ns
    embed(path, out, shards=3)
    assert first.stat().st_mtime_ns == before
    assert contents(out) == undisturbed


def test_a_file_that_was_cut_short_is_written_again(embed, listed, tmp_path):
    path, *_ = listed
    written = embed(path, tmp_path / "out", shards=2)
    whole = contents(tmp_path / "out")
    for keep in (0, 300, -10):
        file = pathlib.Path(written.paths[1])
        file.write_bytes(file.read_bytes()[:keep])
        embed(path, tmp_path / "out", shards=2)
        assert contents(tmp_path / "out") == whole


def test_a_folder_of_another_plan_is_refused(embed, listed, embedder, tmp_path):
    path, *_ = listed
    out = tmp_path / "out"
    embed(path, out, shards=2)
    with pytest.raises(FileExistsError, match="another plan: its shards differs"):
        embed(path, out, shards=3)
    model = keras.saving.load_model(embedder)
    model.save(tmp_path / "copy.keras")
    shutil.copy(path, tmp_path / "copy.tsv")
    embed(tmp_path / "copy.tsv", out, shards=2)  # its content is the same
    model.layers[-1].bias.assign([1, 2, 3, 4])
    model.save(tmp_path / "other.keras")
    path.write_text(path.read_text() + "\n/elsewhere.png\tcat")
    from kerasdml import bulk

    with pytest.raises(FileExistsError, match="its collection, model differ"):
        bulk.embed(tmp_path / "other.keras", path, out, shards=2)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").touch()
    with pytest.raises(FileExistsError, match="holds something else already"):
        embed(path, tmp_path / "full")


def test_files_go_wherever_tensorflow_writes(embed, listed, tmp_path):
    import tensorflow as tf

    path, *_ = listed
    here = embed(path, tmp_path / "out", shards=2)
    there = embed(path, "ram://embedded", shards=2)
    for mine, other in zip(here.paths, there.paths, strict=True):
        with tf.io.gfile.GFile(other, "rb") as file:
            assert file.read() == pathlib.Path(mine).read_bytes()


def test_a_model_that_does_not_embed_images_is_refused(embed, listed, tmp_path):
    from kerasdml import bulk

    path, *_ = listed
    with pytest.raises(FileNotFoundError, match="There is no model file at"):
        bulk.embed(tmp_path / "gone.keras", path, tmp_path / "out")
    layers = [keras.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D()]
    keras.Sequential(layers).save(tmp_path / "any.keras")
    with pytest.raises(ValueError, match="must take images of one size"):
        bulk.embed(tmp_path / "any.keras", path, tmp_path / "out")
    with pytest.raises(
        ValueError, match="`batch_size` must be at least 1. Received: 0"
    ):
        bulk.embed(tmp_path / "any.keras", path, tmp_path / "out", batch_size=0)
