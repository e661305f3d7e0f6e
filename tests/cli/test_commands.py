"""From a folder of images to its neighbours, one command after the other."""

import json
import os
import pathlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

import kerasdml
from kerasdml.cli.train import best_embedder
from tests.cli.conftest import run


def test_train_says_what_it_trains_and_validates_on(trained):
    out, shown = trained
    twelve = "12 images of 2 classes"
    assert (
        f"Training on {twelve}, validating on {twelve}, and in the end testing on "
        f"{twelve}, all different."
    ) in shown
    assert "val_recall_at_1" in shown, "the progress bar shows it each epoch"


def test_train_keeps_the_history_and_the_logs(trained):
    out, _ = trained
    history = json.loads((out / "history.json").read_text())
    assert {"loss", "val_recall_at_1", "val_map_at_r"} <= history.keys()
    assert all(len(values) == 2 for values in history.values())
    assert list(out.glob("logs/**/events*"))


def test_train_keeps_the_best_embedder_and_says_what_chose_it(photos, trained):
    out, shown = trained
    recalls = json.loads((out / "history.json").read_text())["val_recall_at_1"]
    best = max(recalls)
    assert (
        f"of epoch {recalls.index(best) + 1}, chosen by val_recall_at_1 = {best:.4f}."
    ) in shown
    model = keras.saving.load_model(out / "embedder.keras")
    assert model.output_shape == (None, 8)


def test_train_measures_the_test_classes_once_in_the_end(photos, trained):
    out, shown = trained
    words = ["--test-fraction", "0.34", "--json"]
    measured = json.loads(run("evaluate", out / "embedder.keras", photos, *words))
    assert json.loads((out / "test.json").read_text()) == measured["metrics"]
    last = shown[shown.index("On 12 images of 2 classes that chose nothing:") :]
    assert f"recall_at_1      {measured['metrics']['recall_at_1']:.4f}" in last


def test_the_best_embedder_is_kept_whatever_comes_after(tmp_path):
    keras.utils.set_random_seed(0)
    embedder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    callback = best_embedder(tmp_path / "best.keras")
    callback.set_model(kerasdml.MetricModel(embedder))
    for epoch, recall in enumerate([0.5, 0.9, 0.7, 0.9]):
        embedder.layers[0].bias.assign([epoch, recall])
        callback.on_epoch_end(epoch, {"val_recall_at_1": recall})
    kept = keras.saving.load_model(tmp_path / "best.keras")
    np.testing.assert_allclose(kept.layers[0].bias, [1, 0.9])


def test_train_makes_do_with_few_classes_for_losses_with_proxies_too(photos, tmp_path):
    # Three classes, fewer than a batch would have, and six images to test on, fewer
    # than recall@10 would need.
    words = "--size 16 --dim 4 --epochs 1 --loss proxy_anchor --test-fraction 0.17"
    shown = run("train", photos, "--out", tmp_path / "run", *words.split())
    assert "18 images of 3 classes, validating on 12 images of 2 classes" in shown
    assert "testing on 6 images of 1 classes" in shown
    assert "embedder of epoch 1" in shown


def test_train_keeps_the_last_epoch_where_nothing_validates(photos, tmp_path):
    words = "--size 16 --dim 4 --epochs 2 --classes 3 --validation-classes 0"
    shown = run("train", photos, "--out", tmp_path / "run", *words.split())
    assert "Training on 18 images of 3 classes, validating on nothing" in shown
    assert "embedder of epoch 2, the last." in shown
    history = json.loads((tmp_path / "run/history.json").read_text())
    assert not any(name.startswith("val_") for name in history)
    assert (tmp_path / "run/test.json").exists()


def test_evaluate_prints_its_protocol_and_its_metrics(photos, embedder):
    lines = run("evaluate", embedder, photos, "--ks", "1", "5").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("18 images"))
    assert lines[start] == (
        "18 images of 3 classes (split: test), each a query against all others, "
        "similarity: cosine"
    )
    assert lines[start + 1] == (
        "lone queries: 0, ties: index, average: micro, engine: exact"
    )
    names = "recall_at_1 recall_at_5 precision_at_1 precision_at_5 r_precision map_at_r"
    assert [line.split()[0] for line in lines[start + 2 :]] == names.split()


def test_evaluate_takes_the_classes_it_is_told(photos, embedder):
    def protocol(*words):
        return json.loads(run("evaluate", embedder, photos, "--json", *words))[
            "protocol"
        ]

    assert protocol("--split", "all").startswith("36 images of 6 classes (split: all)")
    assert protocol("--test-fraction", "0.34").startswith(
        "12 images of 2 classes (split: test, 0.34 of the classes to test on)"
    )
    assert "similarity: euclidean;" in protocol("--similarity", "euclidean")


def test_evaluate_takes_a_name_of_the_zoo_and_the_similarity_of_its_card(
    photos, embedder, published
):
    card = published(embedder.read_bytes(), packaged=True, similarity="dot")
    shown = json.loads(run("evaluate", card.name, photos, "--json"))
    assert "similarity: dot;" in shown["protocol"]


def test_evaluate_writes_a_report(photos, embedder, tmp_path, refuse):
    pytest.importorskip("sklearn")
    words = ("evaluate", embedder, photos, "--ks", "1", "--report", tmp_path / "report")
    shown = run(*words)
    page = (tmp_path / "report" / "index.html").read_text()
    recall = re.search(r"recall_at_1 +(\S+)", shown)[1]
    assert f'recall_at_1</td><td class="number">{recall}<' in page
    assert "18 images of 3 classes (split: test)" in page
    assert (tmp_path / "report" / "mistakes.png").exists() == (recall != "1.0000")
    assert "nothing is overwritten" in refuse(*words)


def test_embed_writes_embeddings_class_names_and_paths(photos, embedded, embedder):
    with np.load(embedded) as arrays:
        embeddings, labels, ids = (arrays[x] for x in ("embeddings", "labels", "ids"))
    assert embeddings.shape == (36, 8)
    assert [path.split("/")[0] for path in ids] == labels.tolist()
    assert set(labels) == {f"class{number}" for number in range(6)}
    image = np.asarray(Image.open(photos / ids[7]), "float32")[None, ..., None]
    model = keras.saving.load_model(embedder)
    np.testing.assert_allclose(embeddings[7], model.predict(image)[0], atol=1e-5)


def test_embed_writes_a_folder_of_files_that_is_one_index(
    photos, embedder, embedded, indexed, tmp_path
):
    shown = run("embed", embedder, photos, "--out", tmp_path / "out", "--shards", 5)
    assert f"{tmp_path / 'out'} has 36 embeddings in 5 files." in shown
    paths = sorted((tmp_path / "out").glob("*.npz"))
    run("index", *paths, "--out", tmp_path / "one")
    run("index", *paths, "--out", tmp_path / "parts", "--sharded")
    queries = np.load(embedded)["embeddings"]
    expected = kerasdml.index.load(indexed).search(queries, return_labels=True)
    model = keras.saving.load_model(embedder)
    for name in ("one", "parts"):
        made = kerasdml.index.load(tmp_path / name, embedder=model)
        scores, ids, labels = made.search(queries, return_labels=True)
        np.testing.assert_allclose(scores, expected[0], atol=1e-5)
        assert (ids[:, 0] == expected[1][:, 0]).all()
        assert (labels[:, 0] == expected[2][:, 0]).all()
        assert set(made.ids.tolist()) == set(np.load(embedded)["ids"].tolist())
    for weight in model.weights:
        weight.assign(weight + 1)
    with pytest.raises(ValueError, match="of another embedder"):
        kerasdml.index.load(indexed, embedder=model)


def test_embed_leaves_damaged_images_of_a_list_out_if_told(photos, embedder, tmp_path):
    lines = [f"{photos}/class0/{i}.png" for i in (0, 1, 7)]
    (tmp_path / "photos.txt").write_text("\n".join(lines))
    words = ["embed", embedder, tmp_path / "photos.txt", "--out", tmp_path / "out"]
    shown = run(*words, "--shards", 3, "--skip-damaged")
    assert "has 2 embeddings in 3 files." in shown
    assert "1 images could not be read and were left out: " in shown
    paths = sorted((tmp_path / "out").glob("*.npz"))
    for more in ([], ["--sharded"]):
        out = tmp_path / f"index{len(more)}"
        assert "holds 2 embeddings" in run("index", *paths, "--out", out, *more)


def test_the_parts_of_the_data_have_no_class_in_common(photos, embedder, tmp_path):
    found = {}
    for part in ("train", "test"):
        out = tmp_path / "of" / f"{part}.npz"
        run("embed", embedder, photos, "--split", part, "--out", out)
        with np.load(out) as arrays:
            found[part] = set(arrays["labels"].tolist())
    assert [len(names) for names in found.values()] == [3, 3]
    assert not found["train"] & found["test"]


def test_a_pack_brings_its_split_and_its_ids_are_positions(pack, embedder, tmp_path):
    parts = {"images": pack.images, "labels": pack.labels, "split": pack.split}
    np.savez(tmp_path / "pack.npz", class_names=pack.class_names, **parts)
    words = ["--split", "test", "--out"]
    run("embed", embedder, tmp_path / "pack.npz", *words, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as arrays:
        assert arrays["ids"].tolist() == np.flatnonzero(pack.split == 1).tolist()
        assert set(arrays["labels"]) == {"class1", "class3", "class5"}


def test_the_word_glyphs_is_the_built_in_data(pack, embedder, monkeypatch):
    heard = []
    monkeypatch.setattr(
        kerasdml.data, "glyphs", lambda verbose: heard.append(verbose) or pack
    )
    shown = json.loads(run("evaluate", embedder, "glyphs", "--json", "--ks", "1"))
    assert shown["protocol"].startswith("18 images of 3 classes")
    assert heard == [0], "a progress bar would spoil the JSON"


def test_index_writes_what_the_library_loads(indexed):
    index = kerasdml.index.load(indexed)
    assert (type(index), index.size, index.dim) == (kerasdml.index.Exact, 36, 8)
    assert index.similarity == "cosine"


def test_index_takes_several_files_as_one_or_as_parts(embedded, tmp_path):
    whole = np.load(embedded)["embeddings"]
    paths = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for path, rows in zip(paths, (slice(10), slice(10, None)), strict=True):
        np.savez(path, embeddings=whole[rows], metadata=["[1]"] * len(whole[rows]))
    run("index", *paths, "--out", tmp_path / "one")
    run("index", *paths, "--out", tmp_path / "parts", "--sharded")
    one, parts = (kerasdml.index.load(tmp_path / name) for name in ("one", "parts"))
    assert [part.size for part in parts.parts] == [10, 26]
    for made in (one, parts):
        assert made.ids.tolist() == list(range(36)) and set(made.metadata) == {"[1]"}
    for mine, theirs in zip(one.search(whole), parts.search(whole), strict=True):
        assert (mine == theirs).all()


def test_index_adds_a_version(embedded, tmp_path):
    with np.load(embedded) as arrays:
        about = [json.dumps({"row": row}) for row in range(36)]
        np.savez(tmp_path / "about.npz", **arrays, metadata=about)
    run("index", embedded, "--out", tmp_path / "index")
    words = ("--version", "2", "--storage", "int8")
    run("index", tmp_path / "about.npz", "--out", tmp_path / "index", *words)
    assert kerasdml.index.versions(tmp_path / "index") == [1, 2]
    newest = kerasdml.index.load(tmp_path / "index")
    assert newest.storage == "int8" and json.loads(newest.metadata[3]) == {"row": 3}


@pytest.mark.scann
def test_index_writes_scann_and_says_what_it_finds(embedded, tmp_path):
    pytest.importorskip("scann")
    words = ("--kind", "scann", "--tune", "0.9")
    shown = run("index", embedded, "--out", tmp_path / "index", *words)
    assert "recall@10 of 36 stored embeddings among the others: 1.0000, " in shown
    index = kerasdml.index.load(tmp_path / "index")
    assert isinstance(index, kerasdml.index.Scann) and index.report["recall"] == 1.0


def test_index_refuses_options_of_the_other_kind(embedded, tmp_path, refuse):
    words = ("index", embedded, "--out", tmp_path / "index")
    assert "--tune needs --kind scann" in refuse(*words, "--tune", "0.9")
    words = (*words, "--kind", "scann", "--storage", "int8")
    assert "--storage is of --kind exact" in refuse(*words)
    np.savez(tmp_path / "bare.npz", embeddings=np.eye(3))
    words = ("index", embedded, tmp_path / "bare.npz", "--out", tmp_path / "index")
    assert "must have the arrays that" in refuse(*words)


def test_search_finds_an_image_of_the_index_first(photos, exported):
    images = [str(photos / "class0/0.png"), str(photos / "class5/3.png")]
    results = json.loads(run("search", exported, *images, "-k", "3", "--json"))
    assert [result["image"] for result in results] == images
    firsts = [result["neighbours"][0] for result in results]
    assert [first["id"] for first in firsts] == ["class0/0.png", "class5/3.png"]
    assert [first["label"] for first in firsts] == ["class0", "class5"]
    assert [first["score"] for first in firsts] == pytest.approx([1, 1], abs=1e-5)
    for result in results:
        scores = [item["score"] for item in result["neighbours"]]
        assert len(scores) == 3 and scores == sorted(scores, reverse=True)


def test_search_prints_a_table_of_all_that_was_exported(photos, exported):
    image = str(photos / "class0/0.png")
    lines = run("search", exported / "1", image).splitlines()
    assert lines[0] == image
    assert lines[1].split() == ["1", "1.0000", "class0/0.png", "class0"]
    assert [line.split()[0] for line in lines[1:]] == ["1", "2", "3", "4"]


def test_export_keeps_the_examples_for_the_server_to_warm_up_with(photos, exported):
    requests = exported / "1/assets.extra/tf_serving_warmup_requests"
    assert (photos / "class0/0.png").read_bytes() in requests.read_bytes()


def test_calibrate_prints_its_protocol_and_its_cut_points(calibrated):
    out, shown = calibrated
    start = shown.index("12 images of 2 classes (split: test)")
    protocol, searches, titles, *rows = shown[start:].splitlines()
    # 6 * 5 / 2 pairs in either class, of 12 * 11 / 2.
    assert protocol == (
        "12 images of 2 classes (split: test), all 66 pairs, prior: 0.455, "
        "similarity: cosine"
    )
    assert searches == "12 searches among 6 images, 6 of them for 1 unknown classes"
    columns = "cut-point threshold precision recall F1 FMR false-id missed-id"
    assert titles.split() == columns.split()
    names = [row.split()[0] for row in rows[:-1]]
    assert names == ["best_f1", "best_accuracy", "equal_error", "0.0", "0.1"]
    assert rows[-1] == f"{out} is for kerasdml export --calibration."


def test_calibrate_finds_what_the_library_does(photos, embedder, calibrated):
    out, shown = calibrated
    found = kerasdml.metrics.Calibration.from_json(out.read_text())
    # Of the classes to test on, 3 to 5, the last is unknown.
    pictures = [
        Image.open(photos / f"class{c}/{i}.png") for c in (3, 4) for i in range(6)
    ]
    model = keras.saving.load_model(embedder)
    x = model.predict(np.stack(pictures)[..., None].astype("float32"), verbose=0)
    labels = np.repeat([3, 4], 6)
    expected = kerasdml.metrics.calibrate(x, labels, false_match_rates=(0, 0.1))
    assert list(found.cut_points) == list(expected.cut_points)
    for name, point in expected.cut_points.items():
        assert found.cut_points[name].threshold == pytest.approx(
            point.threshold, abs=1e-5
        )
    assert f"{found.best_f1.threshold:.4g}" in shown


def test_calibrate_says_that_it_takes_a_sample_and_what_prior(
    photos, embedder, tmp_path
):
    words = "--split all --max-pairs 200 --prior 0.01 --similarity dot"
    out = tmp_path / "c.json"
    shown = run("calibrate", embedder, photos, "--out", out, *words.split())
    assert (
        "36 images of 6 classes (split: all), a sample of at most 200 of 630 pairs, "
        "prior: 0.01, similarity: dot"
    ) in shown


def test_search_tells_match_from_no_match(photos, matching, calibrated):
    image = str(photos / "class0/0.png")
    calibration = kerasdml.metrics.Calibration.from_json(calibrated[0].read_text())
    for words, at in [
        ([], "best_f1"),
        (["equal_error"], "equal_error"),
        (["1e-1"], 0.1),
    ]:
        found = json.loads(run("search", matching, image, "--json", "--match", *words))
        neighbours = found[0]["neighbours"]
        assert len(neighbours) == 4
        scores = [item["score"] for item in neighbours]
        assert [item["match"] for item in neighbours] == calibration.match(
            scores, at=at
        ).tolist()
    lines = run("search", matching, image, "-k", "1", "--match").splitlines()
    assert lines[1].split() == ["1", "1.0000", "match", "class0/0.png", "class0"]


def test_search_says_that_nothing_matches(photos, embedder, indexed, tmp_path):
    cut_point = kerasdml.metrics.CutPoint(1.5, 1, 0, 0, 0.5, 0)
    calibration = kerasdml.metrics.Calibration(
        *[cut_point] * 3, false_match_rates=(), similarity="cosine", prior=0.5
    )
    (tmp_path / "c.json").write_text(calibration.to_json())
    words = ["--index", indexed, "--calibration", tmp_path / "c.json"]
    run("export", embedder, *words, "--out", tmp_path / "out")
    shown = run("search", tmp_path / "out", photos / "class0/0.png", "--match")
    assert shown.splitlines()[1].split()[2:4] == ["no", "match"]


def test_export_takes_the_next_version(embedder, tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "notes").mkdir()
    shown = run("export", embedder, "--out", tmp_path)
    assert f"{tmp_path / '8'} is ready" in shown
    run("export", embedder, "--out", tmp_path, "--version", "3")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["3", "7", "8", "notes"]


def test_export_gives_metadata_if_asked(photos, embedder, embedded, tmp_path):
    with np.load(embedded) as arrays:
        texts = [json.dumps({"row": row}) for row in range(len(arrays["ids"]))]
        np.savez(tmp_path / "more.npz", **arrays, metadata=texts)
    run("index", tmp_path / "more.npz", "--out", tmp_path / "index")
    words = ("--index", tmp_path / "index", "--metadata", "-k", 1)
    run("export", embedder, *words, "--out", tmp_path / "served")
    image = photos / "class0/0.png"
    ((found,),) = (
        result["neighbours"]
        for result in json.loads(run("search", tmp_path / "served", image, "--json"))
    )
    assert found["metadata"] == {"row": 0} and found["id"] == "class0/0.png"


@pytest.mark.parametrize(
    "words",
    [("lite_rt",), ("lite_rt", "--quantize", "int8"), ("onnx",)],
)
def test_export_writes_files_for_devices(photos, embedder, tmp_path, words):
    if words == ("onnx",):
        pytest.importorskip("tf2onnx", reason="needs the extra onnx")
        pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    out = tmp_path / f"photos.{'onnx' if words == ('onnx',) else 'tflite'}"
    examples = sorted(photos.glob("*/*.png"))
    words = (*words, "--examples", *examples, "--out", out)
    shown = run("export", embedder, "--format", *words)
    assert f"{out} has {out.stat().st_size:,} bytes. Its embeddings are Ke" in shown
    shape = kerasdml.zoo.load(str(embedder)).input_shape[1:]
    assert kerasdml.export.predict(out, np.zeros((2, *shape))).shape == (2, 8)


def test_export_refuses_options_of_another_format(embedder, tmp_path, refuse):
    words = ("export", embedder, "--out", tmp_path / "a.tflite")
    assert "--quantize is of --format lite_rt" in refuse(*words, "--quantize", "int8")
    words += ("--format", "lite_rt")
    assert "--index is of --format saved_m" in refuse(*words, "--index", tmp_path)
    assert "int8 needs --examples, some 100" in refuse(*words, "--quantize", "int8")


def test_export_says_so_where_another_backend_runs(
    embedder, tmp_path, refuse, monkeypatch
):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    said = refuse("export", embedder, "--out", tmp_path)
    assert "needs the TensorFlow backend of Keras. Received: backend 'jax'" in said


def test_export_works_where_the_shell_asks_for_jax(embedder, tmp_path):
    pytest.importorskip("jax", reason="needs the extra jax")
    run = subprocess.run(
        [
            *[sys.executable, "-c", "import kerasdml.cli; exit(kerasdml.cli.main())"],
            *["export", embedder, "--out", tmp_path],
        ],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert f"{tmp_path / '1'} is ready" in run.stdout
    assert (tmp_path / "1/saved_model.pb").exists()


def test_serve_passes_its_arguments_on(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(
        "kerasdml.serving.serve", lambda **options: calls.append(options), raising=False
    )
    (tmp_path / "token").write_text("s3cret\n")
    words = "--host 0.0.0.0 --port 1 --grpc-port -1 --name n --versions 3,5 --queue 7"
    words += " --label stable=3 --label a=b=5 --timeout 2.5 --token-file"
    run("serve", "saved", *words.split(), tmp_path / "token")
    (options,) = calls
    expected = {"path": "saved", "host": "0.0.0.0", "port": 1, "grpc_port": None}
    expected |= {"name": "n", "versions": [3, 5], "queue": 7, "timeout": 2.5}
    expected |= {"labels": {"stable": 3, "a=b": 5}, "token": "s3cret"}
    assert {name: options[name] for name in expected} == expected
    # What is not said is as the library has it.
    rest = {name: x for name, x in options.items() if name not in expected}
    assert kerasdml.serving.Options(**rest) == kerasdml.serving.Options()


def test_serve_refuses_what_is_no_version_or_label(capsys):
    for words in (["--versions", "3,x"], ["--label", "3"], ["--label", "a=x"]):
        with pytest.raises(SystemExit):
            kerasdml.cli.main(["serve", "saved", *words])
        assert "invalid" in capsys.readouterr().err


def test_zoo_lists_shows_and_downloads(published):
    card = published(b"weights", description="Small.")
    published(b"weights", name="other.method_data")
    assert run("zoo", "list", "tiny*") == "tiny.method_data  Small.\n"
    assert len(run("zoo", "list").splitlines()) == 2
    assert run("zoo", "show", card.name) == f"{kerasdml.zoo.card(card.name)}\n"
    path = run("zoo", "download", card.name, "--source", published.home).strip()
    assert pathlib.Path(path).read_bytes() == b"weights"
