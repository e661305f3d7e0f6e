import shutil

import numpy as np

from tests.cli.conftest import run


def test_an_unknown_name_is_refused(refuse, published):
    assert "Unknown model 'nobody'" in refuse("zoo", "show", "nobody")
    assert "Unknown model 'nobody'" in refuse("export", "nobody", "--out", "x")


def test_unreadable_data_is_refused(refuse, photos, embedder, tmp_path):
    out = tmp_path / "run"
    assert "DATA must be a folder" in refuse("train", "nothing", "--out", out)
    assert "nothing.npz" in refuse("evaluate", embedder, "nothing.npz")
    np.savez(tmp_path / "x.npz", vectors=np.eye(2))
    assert "must have an array `embeddings`" in refuse(
        "index", tmp_path / "x.npz", "--out", tmp_path / "index"
    )


def test_a_damaged_image_in_the_data_is_named(refuse, photos, embedder, tmp_path):
    shutil.copytree(photos, tmp_path / "photos")
    (tmp_path / "photos/class4/3.png").write_bytes(b"")
    err = refuse("evaluate", embedder, tmp_path / "photos")
    assert "class4/3.png" in err


def test_a_folder_of_embeddings_and_one_file_have_options_of_their_own(
    refuse, photos, embedder, tmp_path
):
    words = ("embed", embedder, photos, "--out")
    err = refuse(*words, tmp_path / "x.npz", "--shards", 2, "--id-key", "key")
    assert "--shards, --id-key needs --out FOLDER. Received: --out" in err
    err = refuse("embed", embedder, "a", "b", "--out", tmp_path / "x.npz")
    assert "More than one DATA needs --out FOLDER" in err
    assert "--split and --test-fraction need --out FILE.npz" in refuse(
        *words, tmp_path / "x", "--split", "test"
    )
    assert "--beam needs --runner" in refuse(*words, tmp_path / "x", "--beam", "--a")
    assert "`shards` must be from 1 to 36, the number of images" in refuse(
        *words, tmp_path / "x", "--shards", 37
    )


def test_an_image_that_is_none_is_named(refuse, exported, tmp_path):
    (tmp_path / "note.png").write_text("not an image")
    err = refuse("search", exported, tmp_path / "note.png")
    assert "note.png must be a JPEG or PNG image" in err
    assert "gone.png" in refuse("search", exported, tmp_path / "gone.png")


def test_more_neighbours_than_were_exported_are_refused(refuse, exported, photos):
    image = photos / "class0/0.png"
    assert "from 1 to 4" in refuse("search", exported / "1", image, "-k", "5")
    assert "from 1 to 4" in refuse("search", exported / "1", image, "-k", "0")


def test_a_model_without_an_index_is_not_searched(refuse, embedder, photos, tmp_path):
    run("export", embedder, "--out", tmp_path / "plain")
    err = refuse("search", tmp_path / "plain", photos / "class0/0.png")
    assert "Unknown signature 'search'" in err


def test_a_model_that_cannot_match_is_not_asked_to(refuse, exported, matching, photos):
    image = photos / "class0/0.png"
    err = refuse("search", exported, image, "--match")
    assert "Unknown signature 'match'" in err
    err = refuse("search", matching, image, "--match", "best")
    assert "one of best_f1, best_accuracy, equal_error, 0.0, 0.1. Received: best" in err


def test_a_calibration_that_does_not_fit_is_refused(
    refuse, embedder, embedded, indexed, calibrated, tmp_path
):
    words = ["export", embedder, "--out", tmp_path / "out", "--calibration"]
    assert "needs an `index`" in refuse(*words, calibrated[0])
    run("index", embedded, "--out", tmp_path / "dot", "--similarity", "dot")
    err = refuse(*words, calibrated[0], "--index", tmp_path / "dot")
    assert "of the similarity of the index, 'dot'. Received: one of 'cosine'" in err
    (tmp_path / "x.json").write_text("{}")
    err = refuse(*words, tmp_path / "x.json", "--index", indexed)
    assert "x.json must be what kerasdml calibrate wrote" in err


def test_an_unknown_loss_is_refused_with_the_known_ones(refuse, photos, tmp_path):
    words = "--size 16 --classes 2 --test-fraction 0.34 --loss cross_entropy"
    err = refuse("train", photos, "--out", tmp_path / "run", *words.split())
    assert "Unknown loss 'cross_entropy'. Losses: ada_cos, ada_face, " in err
    assert "arc_face, " in err and "vicreg" not in err and "sum" not in err


def test_nothing_is_overwritten(refuse, photos, trained, embedder, embedded, indexed):
    kept = "exists already, and nothing is overwritten"
    assert kept in refuse("train", photos, "--out", trained[0])
    assert kept in refuse("embed", embedder, photos, "--out", embedded)
    assert kept in refuse("index", embedded, "--out", indexed)
    assert kept in refuse("calibrate", embedder, photos, "--out", embedded)
