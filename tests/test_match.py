"""Whether neighbours match: as the calibration says, wherever the model is served."""

import dataclasses
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdml import export, index, metrics, serving

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="exports need TensorFlow's backend"
)

# An image of two pixels is its own embedding. The products of the first query are 5, 3
# and 0, in this order; of the second 0, 4 and 7.
GALLERY = [[5, 0], [3, 4], [0, 7]]
IDS = ["east", "between", "north"]
QUERIES = [[1, 0], [0, 1]]
PRODUCTS = [[5, 3, 0], [7, 4, 0]]

# Precision and recall at 5, 4, 3 and 0 are 1 and 1/2, 1/2 and 1/2, 2/3 and 1, 1/2 and
# 1: F1 is best at 3, accuracy at 5 (3/4, as at 3), errors are equal at 4.
CALIBRATION = dataclasses.replace(
    metrics.calibrate([5, 3, 4, 0], [1, 1, 0, 0], false_match_rates=(0, 0.5)),
    similarity="dot",
)
MATCHES = {
    "best_f1": [[True, True, False], [True, True, False]],
    "best_accuracy": [[True, False, False], [True, False, False]],
    "equal_error": [[True, False, False], [True, True, False]],
    "0.0": [[True, False, False], [True, False, False]],
    "0.5": [[True, True, False], [True, True, False]],
}


def two_pixels():
    inputs = keras.Input((2, 1, 1))
    return keras.Model(inputs, keras.layers.Flatten()(inputs))


def png(pixels):
    return tf.io.encode_png(np.reshape(pixels, (2, 1, 1)).astype("uint8")).numpy()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return export.saved_model(
        two_pixels(),
        tmp_path_factory.mktemp("match") / "pixels",
        index=index.Exact.build(GALLERY, IDS, similarity="dot"),
        k=3,
        calibration=CALIBRATION,
    )


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(exported)


@pytest.fixture(scope="module")
def server(exported):
    with serving.start(exported) as running:
        yield running


@pytest.fixture(params=["REST", "gRPC"])
def client(request, server):
    url = server.url if request.param == "REST" else server.grpc_url
    with serving.Client(url, server.name, timeout=20) as client:
        yield client


FRESH = """
import json, sys
sys.modules["keras"] = sys.modules["kerasdml"] = None
import tensorflow as tf
images = tf.constant([bytes.fromhex(word) for word in sys.argv[3:]])
match = tf.saved_model.load(sys.argv[1]).signatures["match"]
for name in json.loads(sys.argv[2]):
    found = match(image_bytes=images, cut_point=tf.constant([name] * len(images)))
    found = {name: tensor.numpy().tolist() for name, tensor in found.items()}
    print(json.dumps([found["matches"], found["scores"], found["ids"][0][0].decode()]))
"""


def test_a_process_with_tensorflow_alone_tells_what_matches(exported):
    images = [png(query).hex() for query in QUERIES]
    run = subprocess.run(
        [sys.executable, "-c", FRESH, exported, json.dumps(list(MATCHES)), *images],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    for (matches, scores, first), expected in zip(
        answers, MATCHES.values(), strict=True
    ):
        assert matches == expected
        assert scores == PRODUCTS
        assert first == "east"


def test_each_query_may_have_a_cut_point_of_its_own(loaded):
    found = loaded.signatures["match_embeddings"](
        embeddings=tf.constant([QUERIES[1]] * 2, tf.float32),
        cut_point=tf.constant(["equal_error", "0.0"]),
    )
    assert found["matches"].numpy().tolist() == [
        [True, True, False],
        [True, False, False],
    ]


def test_it_decides_as_the_calibration_does(loaded):
    for name in CALIBRATION.cut_points:
        found = loaded.match([png(query) for query in QUERIES], tf.constant([name] * 2))
        expected = CALIBRATION.match(found["scores"], at=name)
        np.testing.assert_array_equal(found["matches"], expected)


def test_search_is_what_it_is_without_a_calibration(loaded):
    default = loaded.signatures["serving_default"]
    assert set(default.structured_outputs) == {"scores", "ids"}


def test_the_calibration_lies_beside_the_graph(exported):
    text = (exported / "assets.extra/calibration.json").read_text()
    assert metrics.Calibration.from_json(text) == CALIBRATION


@pytest.fixture
def export_and_load(tmp_path):
    def call(gallery, calibration):
        path = export.saved_model(
            two_pixels(),
            tmp_path,
            index=gallery,
            k=gallery.size,
            calibration=calibration,
        )
        return tf.saved_model.load(path)

    return call


def test_a_threshold_between_two_float32_is_the_upper_one(export_and_load):
    # In float32 0.7 is 0.69999999, less than the threshold.
    calibration = dataclasses.replace(
        metrics.calibrate([0.7, 0.1], [1, 0]), similarity="dot"
    )
    assert not calibration.match(np.float32(0.7))
    loaded = export_and_load(index.Exact.build([[1, 0]], similarity="dot"), calibration)
    above = np.nextafter(np.float32(0.7), np.float32(1))
    found = loaded.match_embeddings(
        tf.constant([[0.7, 0], [above, 0]], tf.float32), tf.constant(["best_f1"] * 2)
    )
    assert found["matches"].numpy().tolist() == [[False], [True]]


@pytest.mark.parametrize(
    "kind", ["Exact", pytest.param("Scann", marks=pytest.mark.scann)]
)
def test_distances_count_below_zero(kind, export_and_load):
    if kind == "Scann":
        pytest.importorskip("scann")
    # Within a class the distance is 5, between the classes 245 and more.
    embeddings = [[0, 0], [3, 4], [150, 200], [153, 204]]
    calibration = metrics.calibrate(embeddings, [0, 0, 1, 1], similarity="euclidean")
    assert calibration.best_f1.threshold == -5
    gallery = getattr(index, kind).build(embeddings[1:3], similarity="euclidean")
    loaded = export_and_load(gallery, calibration)
    found = loaded.match([png([0, 0]), png([160, 200])], tf.constant(["best_f1"] * 2))
    assert found["scores"].numpy()[0].tolist() == [-5, -250]
    assert found["matches"].numpy().tolist() == [[True, False], [False, False]]


class TestTheServer:
    def test_tells_what_matches(self, client):
        images = [png(query) for query in QUERIES]
        for name, expected in MATCHES.items():
            found = client.predict(
                inputs={"image_bytes": images, "cut_point": [name] * 2},
                signature_name="match",
            )
            assert found["matches"] == expected

    def test_takes_rows_too(self, client):
        row = {"image_bytes": png(QUERIES[1]), "cut_point": "equal_error"}
        (found,) = client.predict([row], signature_name="match")
        assert found["matches"] == [True, True, False]
        assert found["ids"] == ["north", "between", "east"]

    def test_takes_rows_that_ask_for_different_numbers(self, client):
        rows = [
            {"image_bytes": png(query), "cut_point": "best_f1", "k": k}
            for query, k in zip(QUERIES, [1, 2], strict=True)
        ]
        one, two = client.predict(rows, signature_name="match_k")
        assert one["matches"] == [True, False]
        assert one["ids"] == ["east", ""]
        assert one["scores"] == [5, -np.inf]
        assert two["matches"] == [True, True]
        assert two["ids"] == ["north", "between"]

    def test_refuses_a_row_that_asks_for_none(self, client):
        row = {"image_bytes": png(QUERIES[0]), "k": 0}
        with pytest.raises(serving.ServingError, match="from 1 to 3") as caught:
            client.predict([row], signature_name="search_k")
        assert caught.value.status == 400

    def test_gives_its_client_the_neighbours_that_match(self, client):
        images = [png(query) for query in QUERIES] + [png([0, 0])]
        found = client.match(images)
        assert [[n.id for n in row] for row in found] == [
            ["east", "between"],
            ["north", "between"],
            [],
        ]
        assert found[0] == client.search(images)[0][:2]
        assert client.match(images, at="equal_error")[0] == found[0][:1]
        # Whole or not, a rate is known by its number.
        assert client.match(images, at=0) == client.match(images, at=0.0)
        assert [len(row) for row in client.match(images, at=0)] == [1, 1, 0]

    def test_sends_its_client_no_more_than_k(self, client, monkeypatch):
        sent, outputs = [], client._transport.outputs

        def watched(*args):
            found = outputs(*args)
            sent.append({name: np.shape(rows) for name, rows in found.items()})
            return found

        monkeypatch.setattr(client._transport, "outputs", watched)
        images = [png(query) for query in QUERIES]
        every, matches = client.search(images), client.match(images)
        for k in (1, 2, 3):
            assert client.search(images, k=k) == [row[:k] for row in every]
            assert sent.pop() == {"scores": (2, k), "ids": (2, k)}
            assert client.search_embeddings(QUERIES, k=k) == [row[:k] for row in every]
            assert sent.pop() == {"scores": (2, k), "ids": (2, k)}
            assert client.match(images, k=k) == [row[:k] for row in matches]
            shapes = {"scores": (2, k), "ids": (2, k), "matches": (2, k)}
            assert sent.pop() == shapes

    @pytest.mark.parametrize("k", [0, 4])
    def test_tells_its_client_how_many_there_are(self, client, k):
        message = f"from 1 to 3, the number .* exported with. Received: k={k}"
        for ask in (client.search, client.match):
            with pytest.raises(ValueError, match=message):
                ask([png(QUERIES[0])], k=k)
        with serving.ShardedClient([client]) as shards:
            with pytest.raises(ValueError, match=message):
                shards.search_embeddings(QUERIES, k=k)
            found = shards.search_embeddings(QUERIES, k=2).neighbours
            assert found == client.search_embeddings(QUERIES, k=2)

    def test_names_the_cut_points_there_are(self, client):
        known = "best_f1, best_accuracy, equal_error, 0.0, 0.5. Received: 0.25."
        with pytest.raises(serving.ServingError, match=f"one of {known}") as caught:
            client.match([png(QUERIES[0])], at=0.25)
        assert caught.value.status == 400


class TestMetadata:
    METADATA = [{"page": 3, "title": "Übersicht"}, None, [1, 2]]

    @pytest.fixture(scope="class")
    def server(self, tmp_path_factory):
        gallery = index.Exact.build(
            GALLERY, IDS, metadata=self.METADATA, similarity="dot"
        )
        path = export.saved_model(
            two_pixels(),
            tmp_path_factory.mktemp("metadata") / "pixels",
            index=gallery,
            k=3,
            calibration=CALIBRATION,
            return_metadata=True,
        )
        with serving.start(path) as running:
            yield running

    def test_comes_with_the_neighbours(self, client):
        images = [png(query) for query in QUERIES]
        for found in (
            client.search(images),
            client.search(images, k=3),
            client.search_embeddings(QUERIES),
        ):
            assert [n.metadata for n in found[0]] == self.METADATA
            assert [n.metadata for n in found[1]] == [[1, 2], None, self.METADATA[0]]
        (first,), _ = client.match(images, at="best_accuracy", k=1)
        assert first == ("east", None, 5, self.METADATA[0])

    def test_is_json_to_others(self, client):
        row = {"image_bytes": png(QUERIES[0]), "k": 2}
        rows = [row, {**row, "k": 1}]
        _, one = client.predict(rows, signature_name="search_k")
        text, none = one["metadata"]
        assert json.loads(text) == self.METADATA[0] and none == ""

    def test_must_be_there(self):
        for gallery, kind in [(None, "none"), (index.Exact.build(GALLERY), "one with")]:
            with pytest.raises(ValueError, match=f"`metadata`. Received: {kind}"):
                export.saved_model(
                    two_pixels(), "unused", index=gallery, k=1, return_metadata=True
                )


class TestBadInput:
    def refuse(self, calibration, message, similarity="dot"):
        gallery = index.Exact.build(GALLERY, similarity=similarity)
        with pytest.raises(ValueError, match=message):
            export.saved_model(
                two_pixels(), "unused", index=gallery, k=1, calibration=calibration
            )

    def test_a_calibration_of_another_similarity(self):
        message = "of the index, 'cosine'. Received: one of 'dot'. Calibrate with"
        self.refuse(CALIBRATION, message, similarity="cosine")

    def test_a_calibration_of_scores_of_no_known_similarity(self):
        scores = dataclasses.replace(CALIBRATION, similarity=None)
        self.refuse(scores, r"replace\(calibration, similarity='dot'\)")

    def test_what_is_no_calibration(self):
        self.refuse(CALIBRATION.to_json(), "`calibration` must be .* Received: str")

    def test_a_calibration_without_an_index(self):
        with pytest.raises(ValueError, match="it needs an `index` to find them in"):
            export.saved_model(two_pixels(), "unused", calibration=CALIBRATION)
