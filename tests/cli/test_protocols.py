"""What is measured against what, and which classes choose an epoch."""

import argparse
import json
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

import kerasdml
from kerasdml.cli.evaluate import default_ks
from kerasdml.cli.train import training_and_validation
from tests.cli.conftest import run


@pytest.fixture
def shop(photos, tmp_path, monkeypatch):
    """In-Shop's layout: classes 0 … 2 train; of the others 2 images are queries."""
    counts = {"train": (18, 3), "query": (6, 3), "gallery": (12, 3)}
    monkeypatch.setattr("kerasdml.data.benchmarks.in_shop.COUNTS", counts)
    shutil.copytree(photos, tmp_path / "img")
    lines = ["36", "image_name item_id evaluation_status"]
    for label in range(6):
        for i in range(6):
            role = "train" if label < 3 else "query" if i < 2 else "gallery"
            lines.append(f"img/class{label}/{i}.png id_{label} {role}")
    (tmp_path / "list_eval_partition.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def embed(embedder, paths):
    images = np.stack([np.asarray(Image.open(path), "float32") for path in paths])
    return keras.saving.load_model(embedder).predict(images[..., None], verbose=0)


def test_queries_of_in_shop_search_its_gallery(shop, embedder):
    words = [embedder, f"in_shop:{shop}", "--ks", "1", "12", "--json"]
    shown = json.loads(run("evaluate", *words))
    assert shown["protocol"].startswith(
        "6 images of 3 classes (in_shop, split: test), each a query against a gallery "
        "of 12 images of 3 classes, similarity: cosine; lone queries: 0"
    )
    paths = {
        part: [f"{shop}/img/class{c}/{i}.png" for c in (3, 4, 5) for i in at]
        for part, at in {"queries": (0, 1), "gallery": (2, 3, 4, 5)}.items()
    }
    expected = kerasdml.metrics.retrieval(
        embed(embedder, paths["queries"]),
        np.repeat([3, 4, 5], 2),
        embed(embedder, paths["gallery"]),
        np.repeat([3, 4, 5], 4),
        ks=(1, 12),
    )
    assert shown["metrics"] == pytest.approx(expected)


def test_a_benchmark_names_its_own_lists():
    assert default_ks("cub200_2011:birds") == (1, 2, 4, 8)
    assert default_ks("stanford_online_products:x") == (1, 10, 100, 1000)
    assert default_ks("photos") == (1, 10)


def test_each_benchmark_of_the_library_has_lists():
    from kerasdml.cli.sources import BENCHMARK_KS
    from kerasdml.data.benchmarks import BENCHMARKS

    assert BENCHMARK_KS.keys() == BENCHMARKS.keys()


def test_ids_of_a_benchmark_are_paths_below_its_folder(shop, embedder, tmp_path):
    out = tmp_path / "out.npz"
    run("embed", embedder, f"in_shop:{shop}", "--split", "test", "--out", out)
    with np.load(out) as arrays:
        assert arrays["ids"][0] == "img/class3/0.png"
        assert arrays["labels"][0] == "id_3"


def test_another_gallery_is_matched_by_names(photos, embedder, tmp_path):
    # Without class 0 all numbers shift, and there is nothing to find of class 3.
    for name in ("class1", "class2", "class4", "class5"):
        shutil.copytree(photos / name, tmp_path / name)
    words = ["--gallery", tmp_path, "--ks", "1", "--metrics", "recall_at_k", "--json"]
    shown = json.loads(run("evaluate", embedder, photos, *words))
    assert "gallery of 24 images of 4 classes" in shown["protocol"]
    assert "lone queries: 6," in shown["protocol"]
    # Images of classes 4 and 5 find themselves.
    assert shown["metrics"] == {"recall_at_1": pytest.approx(12 / 18)}


def test_clusters_only_if_asked_and_tells_the_seeds(photos, embedder):
    words = "--metrics nmi mrr --repeats 2 --seed 3 --average macro --ties pessimistic"
    shown = run("evaluate", embedder, photos, *words.split())
    assert "ties: pessimistic, average: macro, engine: exact\n" in shown
    assert "k-means: 3 clusters, seeds: 3, 4\n" in shown
    lines = shown.splitlines()[-3:]
    assert [line.split()[0] for line in lines] == ["nmi", "nmi_std", "mrr"]
    assert "k-means" not in run("evaluate", embedder, photos, "--metrics", "mrr")


def test_an_approximate_engine_tells_what_it_finds(photos, embedder):
    words = "--engine scann --split all --metrics recall_at_k --ks 1 5 --json"
    shown = json.loads(run("evaluate", embedder, photos, *words.split()))
    assert shown["protocol"].endswith("engine: scann")
    assert {"engine_recall_at_1", "engine_recall_at_5"} < shown["metrics"].keys()


def test_an_unknown_metric_is_refused_with_the_known_ones(refuse, photos, embedder):
    err = refuse("evaluate", embedder, photos, "--metrics", "recall@1")
    assert "one or more of 'recall_at_k', " in err and "'nmi', " in err


def test_an_unknown_benchmark_is_refused_with_the_known_ones(refuse, embedder):
    err = refuse("evaluate", embedder, "cub:birds")
    assert "such as cub200_2011:FOLDER, one of cars196, cub200_2011, in_shop, " in err
    assert "lacks images.txt" in refuse("evaluate", embedder, "cub200_2011:birds")


def test_classes_on_both_sides_of_a_split_are_refused(refuse, pack, embedder, tmp_path):
    split = np.arange(len(pack)) % 2  # of each class a half
    parts = {"images": pack.images, "labels": pack.labels, "split": split}
    np.savez(tmp_path / "pack.npz", class_names=pack.class_names, **parts)
    for command in (("evaluate", embedder), ("train", "--out", tmp_path / "run")):
        err = refuse(*command, tmp_path / "pack.npz")
        assert "6 classes both to train on and to test on, the first: class0" in err
    words = ["--test-fraction", "0.5", "--json"]
    shown = json.loads(run("evaluate", embedder, tmp_path / "pack.npz", *words))
    assert shown["protocol"].startswith("18 images of 3 classes")


def split(pack, validation_classes=0.1, folds=None, fold=1):
    args = argparse.Namespace(
        validation_classes=validation_classes, folds=folds, fold=fold
    )
    parts = training_and_validation(pack, args)
    return [None if part is None else sorted(set(part.labels)) for part in parts]


def test_validation_classes_are_a_share_and_at_least_two(pack):
    assert split(pack) == [[0, 1, 2, 3], [4, 5]]
    assert split(pack, 0.5) == [[0, 1, 2], [3, 4, 5]]
    assert split(pack, 0) == [[0, 1, 2, 3, 4, 5], None]
    few = pack.subset(np.flatnonzero(pack.labels < 3))
    with pytest.raises(ValueError, match="has 3 classes to train on, too few to leave"):
        split(few)
    for share in (-0.1, 1.0):
        with pytest.raises(ValueError, match="--validation-classes must be at least 0"):
            split(pack, share)


def test_folds_validate_on_every_class_once(pack):
    folds = [split(pack, folds=3, fold=fold) for fold in (1, 2, 3)]
    assert sorted(label for _, held_out in folds for label in held_out) == [*range(6)]
    for training, held_out in folds:
        assert sorted(training + held_out) == [*range(6)]
    for fold in (0, 4):
        with pytest.raises(ValueError, match="--fold must be from 1 to --folds, 3"):
            split(pack, folds=3, fold=fold)
    with pytest.raises(ValueError, match="--fold needs --folds"):
        split(pack, fold=2)
