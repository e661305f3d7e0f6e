import http.server
import pathlib
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import kerasdml
from kerasdml import serving
from kerasdml.serving import Client, Neighbour, ServingError

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture
def offline():
    """A client whose server does not exist, for what must fail before sending."""
    return Client("http://127.0.0.1:9", "colours")


def test_needs_neither_tensorflow_nor_keras():
    code = (
        "import sys, kerasdml; kerasdml.serving.Client; kerasdml.serving.Neighbour; "
        "kerasdml.serving.ServingError; "
        "kerasdml.serving.ShardedClient; "
        "heavy = {'tensorflow', 'keras', 'starlette', 'PIL', 'grpc', 'google'}; "
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_needs_neither_tensorflow_nor_keras_over_grpc():
    code = (
        "import sys, kerasdml; kerasdml.serving.Client('grpc://127.0.0.1:9', 'm'); "
        "print({'tensorflow', 'keras', 'starlette', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_every_public_name_is_found_and_described():
    assert {"Client", "Neighbour", "ServingError", "serve", "start"} <= set(
        dir(serving)
    )
    for name in serving.__all__:
        assert getattr(serving, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'sreve'"):
        kerasdml.serving.sreve  # noqa: B018


def test_status_and_metadata_are_those_of_the_server(client):
    assert client.status()["model_version_status"][0]["version"] == "3"
    assert client.metadata()["model_spec"]["name"] == "colours"


def test_search_names_the_neighbours_of_each_image(client, paint):
    # Cosines of blue: 1 with the third item, 0.8 with the fifth, 0 with the rest.
    found = client.search([paint(RED), paint(BLUE)])
    assert [len(neighbours) for neighbours in found] == [3, 3]
    assert found[0][0] == Neighbour(id="rot", label=10, score=1.0)
    assert [n.id for n in found[1]] == ["青", "bleu", "rot"]
    assert found[1][1].label == 2**53 + 1
    np.testing.assert_allclose([n.score for n in found[1]], [1, 0.8, 0], atol=1e-6)


def test_search_gives_the_first_k(client, paint):
    every = client.search([paint(RED), paint(GREEN)])
    assert client.search([paint(RED), paint(GREEN)], k=2) == [n[:2] for n in every]


def test_match_needs_a_calibration_exported_with_the_model(client, paint):
    with pytest.raises(ServingError, match="Unknown signature 'match'"):
        client.match([paint(RED)])


@pytest.mark.parametrize("k", [0, -1, 4])
def test_rejects_a_k_beyond_what_was_exported(client, paint, k):
    with pytest.raises(ValueError, match="`k` must be from 1 to 3, .* Received: k="):
        client.search([paint(RED)], k=k)


class Swapped:
    """The transport of a server that goes from one version to another.

    A version is how many neighbours its `search` gives, and whether it has `search_k`.
    """

    def __init__(self, *version):
        self.version, self.calls = version, []

    def metadata(self, seconds):
        self.calls.append("metadata")
        most, takes_k = self.version
        scores = {"tensor_shape": {"dim": [{"size": "-1"}, {"size": str(most)}]}}
        signatures = {"search": {"outputs": {"scores": scores}}}
        if takes_k:
            signatures["search_k"] = {}
        return {"metadata": {"signature_def": {"signature_def": signatures}}}

    def outputs(self, name, inputs, seconds):
        self.calls.append(name)
        most, takes_k = self.version
        columns = most
        if name == "search_k":
            if not takes_k:
                raise ServingError(404, "Unknown signature 'search_k'.")
            if max(inputs["k"]) > most:
                raise ServingError(400, f"`k` must be from 1 to {most}.")
            columns = max(inputs["k"])
        numbers = [list(range(columns)) for _ in inputs["image_bytes"]]
        return {"ids": numbers, "scores": numbers}


@pytest.fixture
def swapped(offline):
    offline._transport = Swapped(3, True)
    return offline, offline._transport


def test_the_server_sends_no_more_than_k(swapped, paint):
    client, transport = swapped
    for k in (1, 3):
        assert [len(row) for row in client.search([paint(RED)] * 2, k=k)] == [k, k]
    client.search([paint(RED)])
    # The metadata once, and not at all where `k` is not given.
    assert transport.calls == ["metadata", "search_k", "search_k", "search"]


@pytest.mark.parametrize(
    "version, k, found", [((9, True), 7, 7), ((9, False), 7, 7), ((9, False), 2, 2)]
)
def test_a_new_version_may_give_more_or_lack_the_signature(
    swapped, paint, version, k, found
):
    client, transport = swapped
    client.search([paint(RED)], k=2)
    transport.version = version
    assert [len(row) for row in client.search([paint(RED)], k=k)] == [found]


@pytest.mark.parametrize("takes_k", [True, False])
def test_a_new_version_may_give_less(swapped, paint, takes_k):
    client, transport = swapped
    client.search([paint(RED)], k=3)
    transport.version = 2, takes_k
    with pytest.raises(ValueError, match="from 1 to 2, .* Received: k=3"):
        client.search([paint(RED)], k=3)


def test_labels_are_none_where_the_index_has_none(client, paint, monkeypatch):
    answer = {"ids": [[7, 8]], "scores": [[0.5, 0.25]]}
    monkeypatch.setattr(client._transport, "outputs", lambda *_: answer)
    found = client.search([paint(RED)])
    assert found == [[Neighbour(7, None, 0.5), Neighbour(8, None, 0.25)]]


def test_paths_bytes_and_arrays_are_the_same_image(client, paint, tmp_path):
    file = tmp_path / "grün.png"
    file.write_bytes(paint((0, 60, 80)))
    array = np.zeros((7, 9, 3), np.uint8)
    array[...] = 0, 60, 80
    embeddings = client.embed([str(file), file, file.read_bytes(), array])
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, [[0, 0.6, 0.8]] * 4, rtol=1e-6)
    np.testing.assert_array_equal(client.embed(array[None]), embeddings[:1])


def test_grey_arrays_are_sent_as_grey(client):
    grey = np.full((2, 5, 6), 100, np.uint8)
    expected = np.full((2, 3), 3**-0.5)
    np.testing.assert_allclose(client.embed(grey), expected, rtol=1e-6)
    np.testing.assert_allclose(client.embed(grey[..., None]), expected, rtol=1e-6)


def test_predict_takes_rows_columns_and_arrays(client, paint):
    by_name = {"signature_name": "half_plus_three"}
    assert client.predict([1.0, 2.0], **by_name) == [3.5, 4.0]
    assert client.predict(inputs=np.array([1.0, 2.0]), **by_name) == [3.5, 4.0]
    assert client.predict([{"x": np.float32(1)}], **by_name) == [3.5]
    assert client.predict([paint(RED)])[0]["ids"][0] == "rot"


def test_predict_takes_one_form(offline):
    with pytest.raises(ValueError, match="either `instances` or `inputs`"):
        offline.predict()
    with pytest.raises(ValueError, match="either `instances` or `inputs`"):
        offline.predict([1], inputs=[1])


def test_rejects_values_that_json_cannot_hold(offline):
    with pytest.raises(TypeError, match="and arrays. Received: PosixPath"):
        offline.predict([pathlib.Path("a")])


def test_errors_of_the_server_carry_status_and_message(client, server):
    with pytest.raises(
        ServingError, match="Unknown signature 'no'.*HTTP 400"
    ) as caught:
        client.predict([1], signature_name="no")
    assert caught.value.status == 400
    assert caught.value.message.startswith("Unknown signature 'no'.")
    for url in (server.url, server.grpc_url):
        with pytest.raises(ServingError, match="Unknown model 'é b'") as caught:
            Client(url, "é b").status()
        assert caught.value.status == 404


def test_names_the_image_that_is_none(offline, paint, tmp_path):
    notes = tmp_path / "notes.jpg"
    notes.write_text("not an image")
    empty = tmp_path / "empty.png"
    empty.touch()
    with pytest.raises(ValueError, match="notes.jpg must be a JPEG or PNG image"):
        offline.embed([paint(RED), notes])
    with pytest.raises(
        ValueError, match="empty.png must be a JPEG.*Received: no bytes"
    ):
        offline.search([empty])
    with pytest.raises(ValueError, match=r"`images\[1\]` must be a JPEG or PNG image"):
        offline.search([paint(RED), b"GIF89a"])
    with pytest.raises(FileNotFoundError, match="nowhere.png"):
        offline.search([tmp_path / "nowhere.png"])


@pytest.mark.parametrize(
    "images, message",
    [
        ([], "at least one image. Received: none"),
        ("a.png", "must be a list of images. Wrap a lone one"),
        (pathlib.Path("a.png"), "must be a list of images. Wrap a lone one"),
        (b"\xff\xd8\xff", "must be a list of images. Wrap a lone one"),
        (np.zeros((4, 4), np.uint8), "must be a list of images. Wrap a lone one"),
        (np.zeros((4, 4, 3), np.uint8), "must be a list of images. Wrap a lone one"),
        ([7], r"`images\[0\]` must be a path, bytes or a uint8 array. Received: int"),
        ([np.zeros((4, 4, 3))], "must be a uint8 array .* Received: float64"),
        ([np.zeros((4, 4, 2), np.uint8)], r"Received: uint8 \(4, 4, 2\)"),
        (np.zeros((1, 1, 4, 4, 3), np.uint8), r"Received: uint8 \(1, 4, 4, 3\)"),
        (np.zeros((1, 0, 4, 3), np.uint8), r"must have pixels. Received: shape \(0, 4"),
    ],
)
def test_rejects_what_is_no_batch_of_images(offline, images, message):
    with pytest.raises(ValueError, match=message):
        offline.embed(images)


def test_embeddings_search_as_their_images_do(client, paint):
    images = [paint(RED), paint(BLUE)]
    found = client.search_embeddings(client.embed(images), k=2)
    assert found == client.search(images, k=2)
    with pytest.raises(ValueError, match=r"must be \(b, d\). Received: \(3,\)"):
        client.search_embeddings([1.0, 0.0, 0.0])


def test_connections_are_kept_and_renewed(saved_model):
    with serving.start(saved_model, grpc_port=None) as server:
        client = Client(server.url, "colours")
        client.status()
        (kept,) = client._transport._idle
        client.status()
        assert list(client._transport._idle) == [kept]
        # As a server does with connections that idle too long.
        kept.sock.shutdown(socket.SHUT_RDWR)
        assert client.status()
        client.close()
        assert not client._transport._idle


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("127.0.0.1:8501", "m"), "`url` must be an address such as 'http://"),
        (("ftp://host", "m"), "`url` must be an address such as 'http://"),
        (("http://", "m"), "`url` must be an address such as 'http://"),
        (("http://host", ""), "`model` must be a name"),
        (("http://host", "m", 0), "`timeout` positive .* Received: .*timeout=0"),
    ],
)
def test_rejects_an_address_that_is_none(arguments, message):
    with pytest.raises(ValueError, match=message):
        Client(*arguments)


def test_rejects_a_version_beside_a_label():
    with pytest.raises(ValueError, match="Either `version` or `label`"):
        Client("http://host", "m", version=1, label="stable")


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_says_that_no_server_is_there(scheme):
    with pytest.raises(
        ConnectionError, match=r"127.0.0.1:9 cannot be reached: .*start"
    ):
        Client(f"{scheme}://127.0.0.1:9", "colours").status()


@pytest.fixture
def stranger():
    """A server that answers everything with one body, and where it is."""
    replies, release = [], threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if not replies:
                release.wait(10)
                return
            self.send_response(replies[0][0])
            self.end_headers()
            if isinstance(replies[0][1], bytes):
                self.wfile.write(replies[0][1])
                return
            for piece in replies[0][1]:
                self.wfile.write(piece)
                time.sleep(0.1)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", replies
        release.set()
        server.shutdown()


def test_gives_up_on_a_server_that_is_silent(stranger):
    url, _ = stranger
    with pytest.raises(TimeoutError, match="did not answer within 0.2 seconds"):
        Client(url, "m", timeout=0.2).status()


def test_a_deadline_covers_an_answer_that_trickles(stranger):
    url, replies = stranger
    replies.append((200, iter([b"{"] * 40)))
    start = time.monotonic()
    with pytest.raises(TimeoutError, match="did not answer within 0.3 seconds"):
        Client(url, "m", timeout=0.3).status()
    assert time.monotonic() - start < 2


def test_an_answer_that_breaks_off_is_asked_for_again():
    body = b'{"model_version_status": []}'
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    def answer():
        for reply in (whole[:-4], whole):
            connection, _ = server.accept()
            with connection:
                connection.recv(2**16)
                connection.sendall(reply)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert Client(url, "m").status() == {"model_version_status": []}
        thread.join()


@pytest.mark.parametrize(
    "status, body", [(502, b"<html>Bad gateway"), (200, b"hello"), (500, b"[1]")]
)
def test_says_that_the_answer_is_no_servers_of_models(stranger, status, body):
    url, replies = stranger
    replies.append((status, body))
    with pytest.raises(ServingError, match="must answer as TF Serving does") as caught:
        Client(url, "m").status()
    assert caught.value.status == status


def test_says_that_the_answer_lacks_the_predictions(stranger):
    url, replies = stranger
    replies.append((200, b'{"health": "fine"}'))
    with pytest.raises(ServingError, match='Received: b\'{"health": "fine"}\''):
        Client(url, "m").predict([1])
