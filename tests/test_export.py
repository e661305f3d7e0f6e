"""An exported model answers as the embedder and the index do, in any process."""

import json
import pathlib
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdml import export, index, serving
from kerasdml.serving.protos import PredictionLog
from kerasdml.serving.tensors import to_array

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="exports need TensorFlow's backend"
)

SIZE, DIM, K = 30, 8, 4


def tiny_embedder(channels=1, dim=DIM):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, channels))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(6, 5, strides=2, activation="relu")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(dim)(x)
    return keras.Model(inputs, keras.layers.UnitNormalization()(x))


def images(count=SIZE, channels=1, size=16):
    """Blurred noise, so that embeddings of different images differ clearly."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, 4, 4, channels))
    return tf.image.resize(coarse, (size, size)).numpy().astype("uint8")


def png(pictures):
    return [tf.io.encode_png(picture).numpy() for picture in pictures]


@pytest.fixture(scope="module")
def embedder():
    return tiny_embedder()


@pytest.fixture(scope="module")
def gallery(embedder):
    return embedder.predict(images(), verbose=0)


@pytest.fixture(scope="module")
def exact(gallery):
    ids = [f"ähre/{i}.png" for i in range(SIZE)]
    return index.Exact.build(
        gallery,
        ids,
        labels=np.arange(SIZE) // 3,
        metadata=[{"page": i, "title": f"Übersicht {i}"} for i in range(SIZE)],
    )


@pytest.fixture(scope="module")
def approximate(gallery):
    pytest.importorskip("scann", reason="needs scann (Linux x86-64)")
    return index.Scann.build(
        gallery, np.arange(SIZE) + 2**40, [f"class {i % 5}" for i in range(SIZE)]
    )


@pytest.fixture(scope="module")
def exported(embedder, exact, tmp_path_factory):
    root = tmp_path_factory.mktemp("exact")
    return export.saved_model(
        embedder, root / "model", index=exact, k=K, examples=png(images()[:2])
    )


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(exported)


# What a process runs that has nothing of ours: it reads PNG files and prints answers.
# TensorFlow imports Keras where it finds it, so here it must not.
FRESH = """
import json, pathlib, sys
sys.modules["keras"] = sys.modules["kerasdml"] = None
import tensorflow as tf
{imports}
model = tf.saved_model.load({path!r})
files = [f.read_bytes() for f in sorted(pathlib.Path({files!r}).iterdir())]
found = model.signatures["serving_default"](image_bytes=tf.constant(files))
text = lambda x: x.decode() if isinstance(x, bytes) else x
answer = {{
    name: [[text(x) for x in row] for row in tensor.numpy().tolist()]
    for name, tensor in found.items()
}}
print(json.dumps(answer | {{"scann": "scann" in sys.modules}}))
"""


def answer_of_a_fresh_process(path, files, imports=""):
    code = FRESH.format(path=str(path), files=str(files), imports=imports)
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=files,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of three of the gallery's images."""
    folder = tmp_path_factory.mktemp("files")
    for i, content in enumerate(png(images()[:3])):
        (folder / f"{i}.png").write_bytes(content)
    return folder


class TestAFreshProcess:
    def test_finds_what_an_exact_index_finds(self, exported, files, exact, gallery):
        answer = answer_of_a_fresh_process(exported, files)
        expected = exact.search(gallery[:3], k=K, return_labels=True)
        assert answer["ids"] == expected[1].tolist()
        assert answer["labels"] == expected[2].tolist()
        np.testing.assert_allclose(answer["scores"], expected[0], rtol=1e-5)
        assert not answer["scann"], "TensorFlow alone suffices"

    @pytest.mark.scann
    def test_finds_what_a_scann_index_finds(
        self, embedder, files, approximate, gallery, tmp_path
    ):
        path = export.saved_model(embedder, tmp_path, index=approximate, k=K)
        answer = answer_of_a_fresh_process(path, files, imports="import scann")
        expected = approximate.search(gallery[:3], k=K, return_labels=True)
        assert answer["ids"] == expected[1].tolist()
        assert answer["labels"] == expected[2].tolist()
        np.testing.assert_allclose(answer["scores"], expected[0], rtol=1e-5)

    def test_lists_the_signatures(self, exported):
        run = subprocess.run(
            [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli"]
            + ["show", "--all", "--dir", str(exported)],
            capture_output=True,
            text=True,
            check=True,
        )
        for name in (
            "embed",
            "embed_uint8",
            "embed_encoded",
            "search",
            "search_embeddings",
            "search_k",
            "search_embeddings_k",
            "serving_default",
        ):
            assert f"signature_def['{name}']" in run.stdout


class TestSignatures:
    def test_embed_as_the_embedder_does(self, loaded, gallery):
        embed, embed_uint8 = (loaded.signatures[n] for n in ("embed", "embed_uint8"))
        pixels = images()
        for count in (1, 7):
            batch = pixels[:count]
            floats = embed(images=tf.constant(batch, tf.float32))["embeddings"]
            integers = embed_uint8(images=tf.constant(batch))["embeddings"]
            np.testing.assert_allclose(floats, gallery[:count], rtol=1e-5, atol=1e-6)
            assert (floats.numpy() == integers.numpy()).all()

    def test_embed_files_as_their_pixels(self, loaded, gallery):
        embed = loaded.signatures["embed_encoded"]
        found = embed(image_bytes=tf.constant(png(images()[:5])))["embeddings"]
        np.testing.assert_allclose(found, gallery[:5], rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("channels", [1, 3])
    def test_embed_files_of_any_size_and_format(self, channels, tmp_path):
        embedder = tiny_embedder(channels)
        path = export.saved_model(embedder, tmp_path)
        loaded = tf.saved_model.load(path)
        large, wide = images(1, 3, 40)[0], images(1, 3, 16)[0][:11]
        contents = [tf.io.encode_jpeg(large), tf.io.encode_png(wide)]
        decoded = [tf.io.decode_image(c, channels=channels) for c in contents]
        resized = [tf.image.resize(x, (16, 16), antialias=True) for x in decoded]
        expected = embedder.predict(np.stack(resized), verbose=0)
        found = loaded.signatures["serving_default"](image_bytes=tf.stack(contents))
        np.testing.assert_allclose(found["embeddings"], expected, rtol=1e-5, atol=1e-6)

    def test_search_as_the_index_does(self, loaded, exact, gallery):
        by_files = loaded.signatures["search"](image_bytes=tf.constant(png(images())))
        by_embeddings = loaded.signatures["search_embeddings"](
            embeddings=tf.constant(gallery)
        )
        scores, ids, labels = exact.search(gallery, k=K, return_labels=True)
        for found in (by_files, by_embeddings):
            decoded = [[i.decode() for i in row] for row in found["ids"].numpy()]
            assert decoded == ids.tolist()
            assert (found["labels"].numpy() == labels).all()
            np.testing.assert_allclose(found["scores"], scores, rtol=1e-5)

    def test_give_each_query_as_many_neighbours_as_it_asks_for(
        self, loaded, exact, gallery
    ):
        wanted = [1, 3, 2]
        scores, ids, labels = exact.search(gallery[:3], k=3, return_labels=True)
        by_files = loaded.signatures["search_k"](
            image_bytes=tf.constant(png(images()[:3])), k=tf.constant(wanted)
        )
        by_embeddings = loaded.search_embeddings(gallery[:3], tf.constant(wanted))
        for found in (by_files, by_embeddings):
            assert found["scores"].shape == (3, 3), "columns of the largest k"
            for i, k in enumerate(wanted):
                row = {name: values[i].numpy() for name, values in found.items()}
                np.testing.assert_allclose(row["scores"][:k], scores[i, :k], rtol=1e-5)
                assert [x.decode() for x in row["ids"][:k]] == ids[i, :k].tolist()
                assert (row["labels"][:k] == labels[i, :k]).all()
                assert (row["scores"][k:] == -np.inf).all()
                assert (row["ids"][k:] == b"").all()
                assert (row["labels"][k:] == -1).all()

    @pytest.mark.parametrize("k", [0, K + 1])
    def test_refuse_a_k_that_is_out_of_range(self, loaded, gallery, k):
        message = f"`k` must be from 1 to {K}, the number of .* Received: {k}."
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            loaded.search_embeddings(gallery[:2], tf.constant([1, k]))

    def test_give_no_labels_where_there_are_none(self, embedder, gallery, tmp_path):
        unlabelled = index.Exact.build(gallery)
        path = export.saved_model(embedder, tmp_path, index=unlabelled, k=2)
        loaded = tf.saved_model.load(path)
        found = loaded.search_embeddings(gallery[:1])
        assert set(found) == {"scores", "ids"}
        assert found["ids"].dtype == tf.int64

    def test_default_to_embedding_without_an_index(self, embedder, tmp_path):
        loaded = tf.saved_model.load(export.saved_model(embedder, tmp_path))
        assert set(loaded.signatures) == {
            "embed",
            "embed_uint8",
            "embed_encoded",
            "serving_default",
        }
        assert set(loaded.signatures["serving_default"].structured_outputs) == {
            "embeddings"
        }

    def test_are_methods_of_the_loaded_model_too(self, loaded, gallery):
        pixels = images()[:2]
        for batch in (pixels, pixels.astype("float32")):
            np.testing.assert_allclose(
                loaded.embed(batch), gallery[:2], rtol=1e-5, atol=1e-6
            )
        np.testing.assert_allclose(
            loaded.embed_encoded(png(pixels)), gallery[:2], rtol=1e-5, atol=1e-6
        )
        found = loaded.search(png(pixels))
        assert found["ids"][1, 0].numpy().decode() == "ähre/1.png"

    def test_refuse_embeddings_that_are_not_numbers(self, loaded):
        with pytest.raises(tf.errors.InvalidArgumentError, match="must be finite"):
            loaded.search_embeddings(np.full((1, DIM), np.nan, "float32"))


class TestWarmupRequests:
    def requests(self, version):
        file = version / "assets.extra/tf_serving_warmup_requests"
        records = [r.numpy() for r in tf.data.TFRecordDataset(str(file))]
        return records, [
            PredictionLog.FromString(r).predict_log.request for r in records
        ]

    def test_ask_each_signature_for_the_examples(self, exported, loaded, gallery):
        _, requests = self.requests(exported)
        asked = {r.model_spec.signature_name: r.inputs for r in requests}
        assert set(asked) == set(loaded.signatures)
        for name, inputs in asked.items():
            tensors = {key: tf.constant(to_array(t)) for key, t in inputs.items()}
            assert loaded.signatures[name](**tensors)
        assert to_array(asked["search"]["image_bytes"]).tolist() == png(images()[:2])
        assert (to_array(asked["embed_uint8"]["images"]) == images()[:2]).all()
        assert to_array(asked["search_k"]["k"]).tolist() == [K, K]
        embeddings = to_array(asked["search_embeddings"]["embeddings"])
        np.testing.assert_allclose(embeddings, gallery[:2], rtol=1e-5, atol=1e-6)

    def test_are_tensorflow_servings_own_messages(self, exported):
        log = pytest.importorskip(
            "tensorflow_serving.apis.prediction_log_pb2",
            reason="needs tensorflow-serving-api",
        )
        records, requests = self.requests(exported)
        for record, request in zip(records, requests, strict=True):
            official = log.PredictionLog.FromString(record)
            assert official.WhichOneof("log_type") == "predict_log"
            theirs = official.predict_log.request
            assert theirs.SerializeToString(deterministic=True) == (
                request.SerializeToString(deterministic=True)
            )

    def test_are_answered_by_the_local_server(self, exported):
        with serving.start(exported) as server:
            client = serving.Client(server.url, server.name, timeout=20)
            assert client.search(png(images()[:1]), k=1)[0][0].id == "ähre/0.png"

    def test_are_of_a_grey_image_where_there_are_no_examples(self, embedder, tmp_path):
        path = export.saved_model(embedder, tmp_path)
        _, requests = self.requests(path)
        inputs = {r.model_spec.signature_name: r.inputs for r in requests}
        grey = to_array(inputs["embed"]["images"])
        assert (grey == np.full((1, 16, 16, 1), 128)).all()

    @pytest.mark.parametrize(
        "examples, message",
        [
            ([], "must be a list of JPEG or PNG files"),
            (b"one", "must be a list of JPEG or PNG files"),
            ([b"no image"], r"`examples\[0\]` must be a JPEG or PNG file"),
        ],
    )
    def test_refuse_what_is_no_image(self, embedder, tmp_path, examples, message):
        with pytest.raises(ValueError, match=message):
            export.saved_model(embedder, tmp_path, examples=examples)
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["Exact", "Scann"])
def test_an_index_with_changes_is_exported_as_it_is(embedder, gallery, tmp_path, kind):
    if kind == "Scann":
        pytest.importorskip("scann", reason="needs scann (Linux x86-64)")
    getattr(index, kind).build(gallery, range(SIZE)).save(tmp_path / "index")
    made = index.load(tmp_path / "index", mmap=True)
    made.add(-gallery[:3], [100, 101, 102])
    made.update(gallery[7:9] + gallery[9:11], [1, 100])
    made.remove([0, 101])
    path = export.saved_model(embedder, tmp_path / "model", index=made, k=K)
    loaded = tf.saved_model.load(path)  # Its functions die with it.
    found = loaded.search_embeddings(tf.constant(gallery))
    scores, ids = made.search(gallery, k=K)
    assert (found["ids"].numpy() == ids).all()
    np.testing.assert_allclose(found["scores"], scores, rtol=1e-6)


def test_shards_on_servers_of_their_own_answer_as_one_index(
    embedder, gallery, exact, tmp_path
):
    parts = [
        index.Exact.build(gallery[rows], exact.ids[rows], exact.labels[rows])
        for rows in (slice(0, 12), slice(12, SIZE))
    ]
    paths = [tmp_path / "first", tmp_path / "second"]
    for path, part in zip(paths, parts, strict=True):
        export.saved_model(embedder, path, index=part, k=K)
    expected = zip(*(x.tolist() for x in exact.search(gallery, k=K)), strict=True)
    with serving.start(paths[0]) as first, serving.start(paths[1]) as second:
        clients = [
            serving.Client(first.url, first.name, timeout=20),
            serving.Client(second.grpc_url, second.name, timeout=20),
        ]
        with serving.ShardedClient(clients, timeout=20) as sharded:
            found = sharded.search_embeddings(gallery)
            assert not found.partial
            for row, (scores, ids) in zip(found.neighbours, expected, strict=True):
                assert [neighbour.id for neighbour in row] == ids
                found_scores = [neighbour.score for neighbour in row]
                np.testing.assert_allclose(found_scores, scores, rtol=1e-6)
            second.stop()
            found = sharded.search(png(images()[:2]), k=2)
            assert list(found.missing) == [second.grpc_url]
            assert [row[0].id for row in found.neighbours] == exact.ids[:2].tolist()


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index"])
def test_a_flipped_bit_of_any_file_is_noticed(exported, tmp_path, name):
    version = tmp_path / "model/1"
    shutil.copytree(exported, version)
    (version / "assets.extra/tf_serving_warmup_requests").write_bytes(b"")
    with serving.start(version.parent) as server:
        assert server.name == "model", "requests may be others"
    for at in (10, -10):
        data = bytearray((exported / name).read_bytes())
        data[at] ^= 1
        (version / name).write_bytes(data)
        with pytest.raises(ValueError, match=f"{name} was changed since it was expo"):
            serving.start(version.parent)


class TestItems:
    def test_lie_beside_the_graph(self, exported, exact):
        lines = (exported / "assets.extra/items.jsonl").read_text("utf-8").splitlines()
        items = [json.loads(line) for line in lines]
        assert [item["id"] for item in items] == exact.ids.tolist()
        assert items[7] == {
            "id": "ähre/7.png",
            "label": 2,
            "metadata": {"page": 7, "title": "Übersicht 7"},
        }

    def test_have_what_the_index_has(self, embedder, gallery, tmp_path):
        unlabelled = index.Exact.build(gallery)
        # Half a character, as in names of files that are not UTF-8.
        labelled = index.Exact.build(
            gallery, labels=["a"] * SIZE, metadata=["\udc80"] * SIZE
        )
        bare, half = (
            export.saved_model(embedder, tmp_path, index=one, version=i + 1)
            for i, one in enumerate([unlabelled, labelled])
        )
        assert not (bare / "assets.extra/items.jsonl").exists()
        first, *_ = (half / "assets.extra/items.jsonl").read_text().splitlines()
        assert json.loads(first) == {"id": 0, "label": "a", "metadata": "\udc80"}


def test_embeddings_are_float32_also_of_a_half_precision_embedder(tmp_path):
    inputs = keras.Input((16, 16, 1))
    half = keras.Model(inputs, keras.layers.Flatten(dtype="float16")(inputs))
    loaded = tf.saved_model.load(export.saved_model(half, tmp_path))
    found = loaded.signatures["embed_uint8"](images=tf.constant(images(2)))
    # Whole numbers up to 255 are exact in float16.
    assert found["embeddings"].dtype == tf.float32
    assert (found["embeddings"].numpy() == images(2).reshape(2, -1)).all()


def test_a_metric_model_is_exported_without_its_proxies(embedder, tmp_path):
    class WithProxies(keras.Model):
        def __init__(self, embedder):
            super().__init__()
            self.embedder = embedder
            self.proxies = self.add_weight(shape=(100, DIM), name="proxies")

    path = export.saved_model(WithProxies(embedder), tmp_path)
    variables = tf.train.list_variables(str(path / "variables" / "variables"))
    shapes = [shape for _, shape in variables]
    assert [DIM] in shapes, "the bias of the last layer is there"
    assert [100, DIM] not in shapes


# Kills itself when all is written and nothing has got its name.
KILLED = """
import os, signal, sys
import keras
from kerasdml import export

embedder = keras.saving.load_model(sys.argv[1])
export.servable.write_extras = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
export.saved_model(embedder, sys.argv[2], version=2)
"""


def used(path):
    """Bytes that the files of a directory take on a disk of pages of 4096 bytes."""
    sizes = [file.stat().st_size for file in path.rglob("*") if file.is_file()]
    return sum(-(-size // 4096) * 4096 for size in sizes)


class TestVersions:
    def test_lie_side_by_side(self, embedder, tmp_path):
        for version in (1, 3):
            path = export.saved_model(embedder, tmp_path / "model", version=version)
            assert path == tmp_path / "model" / str(version)
            assert (path / "saved_model.pb").is_file()
        assert {p.name for p in (tmp_path / "model").iterdir()} == {"1", "3"}

    def test_are_never_overwritten(self, embedder, tmp_path):
        for taken in ("1", "4", "notes"):
            (tmp_path / taken).mkdir()
        message = "nothing is overwritten. The next free version is 5: pass `version=5`"
        with pytest.raises(FileExistsError, match=message):
            export.saved_model(embedder, tmp_path, version=1)
        assert not list((tmp_path / "1").iterdir())

    def test_appear_whole_or_not_at_all(self, embedder, tmp_path, monkeypatch):
        def interrupted(module, path, *args):
            (pathlib.Path(path) / "saved_model.pb").touch()
            assert not (tmp_path / "1").exists()
            raise KeyboardInterrupt

        monkeypatch.setattr(tf.saved_model, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            export.saved_model(embedder, tmp_path)
        assert not list(tmp_path.iterdir())

    def test_are_whole_or_not_there_on_a_full_disk(self, embedder, tmp_path):
        disk = tmp_path / "disk"
        disk.mkdir()
        mounted = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(disk)]
        if subprocess.run(mounted, capture_output=True, check=False).returncode:
            pytest.skip("only root may mount a small disk")
        try:
            first = export.saved_model(embedder, disk)
            (disk / "ballast").write_bytes(bytes(200_000 - used(first)))
            for _ in range(2):
                with pytest.raises(OSError, match="No space left"):
                    export.saved_model(embedder, disk, version=2)
                names = sorted(entry.name for entry in disk.iterdir())
                assert names == ["1", "ballast"]
            (disk / "ballast").unlink()
            export.saved_model(embedder, disk, version=2)
            for version in ("1", "2"):
                loaded = tf.saved_model.load(disk / version)
                assert loaded.embed(images(1)).shape == (1, DIM)
        finally:
            subprocess.run(["umount", str(disk)], check=True)

    def test_survive_an_export_that_is_killed(self, embedder, tmp_path):
        embedder.save(tmp_path / "embedder.keras")
        home = tmp_path / "model"
        export.saved_model(embedder, home)
        words = [sys.executable, "-c", KILLED, tmp_path / "embedder.keras", home]
        assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
        assert sorted(path.name for path in home.glob("[!.]*")) == ["1"]
        assert len(list(home.glob(".2.*.tmp"))) == 1
        with serving.start(home) as server:
            client = serving.Client(server.url, server.name)
            expected = client.embed(images(1))
            export.saved_model(embedder, home, version=2)
            np.testing.assert_array_equal(client.embed(images(1)), expected)
        assert not list(home.glob(".*"))

    def test_of_two_writers_one_is_told(self, embedder, tmp_path, monkeypatch):
        write_extras = export.servable.write_extras

        def overtaken(*args):
            write_extras(*args)
            monkeypatch.undo()
            export.saved_model(embedder, tmp_path)

        monkeypatch.setattr(export.servable, "write_extras", overtaken)
        with pytest.raises(FileExistsError, match="nothing is overwritten"):
            export.saved_model(embedder, tmp_path)
        assert [entry.name for entry in tmp_path.iterdir()] == ["1"]
        loaded = tf.saved_model.load(tmp_path / "1")
        assert loaded.embed(images(1)).shape == (1, DIM)

    @pytest.mark.parametrize("version", [0, -1, 1.0, "1", True, None])
    def test_are_positive_integers(self, embedder, tmp_path, version):
        with pytest.raises(ValueError, match="`version` must be a positive integer. R"):
            export.saved_model(embedder, tmp_path, version=version)


class TestBadInput:
    def test_an_index_of_another_size(self, embedder, tmp_path):
        other = index.Exact.build(np.eye(5))
        with pytest.raises(
            ValueError, match=f"of size 5, but the embedder gives {DIM}"
        ):
            export.saved_model(embedder, tmp_path, index=other)

    def test_an_index_of_another_embedder(self, embedder, gallery, tmp_path):
        other = index.Exact.build(gallery, embedder="0" * 64)
        with pytest.raises(ValueError, match="are of another embedder"):
            export.saved_model(embedder, tmp_path, index=other)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("k", [0, SIZE + 1])
    def test_more_neighbours_than_there_are(self, embedder, exact, tmp_path, k):
        with pytest.raises(
            ValueError, match=f"from 1 to {SIZE}, the size of the index"
        ):
            export.saved_model(embedder, tmp_path, index=exact, k=k)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        "shape", [(None, None, 3), (16, 16, 2), (16,)], ids=["size", "channels", "rank"]
    )
    def test_an_embedder_of_other_than_images(self, tmp_path, shape):
        inputs = keras.Input(shape)
        output = (
            keras.layers.Flatten()(inputs)
            if None not in shape
            else (keras.layers.GlobalAveragePooling2D()(inputs))
        )
        with pytest.raises(ValueError, match="`embedder` must be .* from images"):
            export.saved_model(keras.Model(inputs, output), tmp_path)

    def test_an_embedder_of_feature_maps(self, tmp_path):
        inputs = keras.Input((16, 16, 1))
        model = keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs))
        with pytest.raises(ValueError, match=r"to embeddings \(b, d\). Received: Func"):
            export.saved_model(model, tmp_path)

    def test_another_backend(self, embedder, tmp_path, monkeypatch):
        monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
        message = "Received: backend 'jax'. Save the embedder with `embedder.save"
        with pytest.raises(RuntimeError, match=message):
            export.saved_model(embedder, tmp_path)
