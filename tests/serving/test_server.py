"""The server over loopback, as HTTP sees it."""

import base64
import concurrent.futures
import contextlib
import http.client
import io
import json
import logging
import socket
import urllib.parse

import numpy as np
import pytest
from PIL import Image

from kerasdml import serving
from kerasdml.serving.encoding import encode_images
from kerasdml.serving.model import ServedModel
from kerasdml.serving.server import app

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def jsonable(value):
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return value.tolist()


def ask(server, method, path, body=None):
    """Sends a request as it stands; gives the status and the parsed answer."""
    if isinstance(body, dict):
        body = json.dumps(body, default=jsonable).encode()
    address = urllib.parse.urlsplit(server.url).netloc
    with contextlib.closing(http.client.HTTPConnection(address, timeout=20)) as http_:
        http_.request(method, path, body)
        response = http_.getresponse()
        assert response.headers["Content-Type"] == "application/json"
        return response.status, json.loads(response.read())


@pytest.fixture
def predict(server):
    def send(**request):
        return ask(server, "POST", "/v1/models/colours:predict", request)

    return send


def test_status_lists_the_version_that_is_served(server):
    expected = {
        "model_version_status": [
            {
                "version": "3",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    assert ask(server, "GET", "/v1/models/colours") == (200, expected)
    assert ask(server, "GET", "/v1/models/colours/versions/3") == (200, expected)


def test_metadata_is_the_signature_map_as_protobuf_prints_it(server):
    status, answer = ask(server, "GET", "/v1/models/colours/metadata")
    assert status == 200
    assert answer["model_spec"] == {
        "name": "colours",
        "signature_name": "",
        "version": "3",
    }
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "search", "embed"} <= signatures.keys()
    assert signatures["search"]["method_name"] == "tensorflow/serving/predict"
    assert signatures["search"]["inputs"]["image_bytes"] == {
        "dtype": "DT_STRING",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
        "name": "search_image_bytes:0",
    }
    assert signatures["search"]["outputs"]["labels"]["dtype"] == "DT_INT64"
    assert ask(server, "GET", "/v1/models/colours/versions/3/metadata") == (200, answer)


def test_the_example_of_tf_servings_documentation(predict, server):
    request = {"signature_name": "half_plus_three", "instances": [1.0, 2.0, 5.0]}
    assert predict(**request) == (200, {"predictions": [3.5, 4.0, 5.5]})
    versioned = ask(server, "POST", "/v1/models/colours/versions/3:predict", request)
    assert versioned == (200, {"predictions": [3.5, 4.0, 5.5]})


def test_float_and_uint8_images_embed_alike(predict):
    image = np.zeros((4, 4, 3), int)
    image[..., 0], image[..., 1] = 30, 40
    for name in ("embed", "embed_uint8"):
        status, answer = predict(signature_name=name, instances=[image])
        assert status == 200
        np.testing.assert_allclose(answer["predictions"], [[0.6, 0.8, 0]], rtol=1e-6)


def test_search_is_the_default_and_gives_ids_labels_and_scores(predict, paint):
    # Red is the first item; the fourth, (0.6, 0.8, 0), has cosine 0.6 with it; the
    # second comes next among equals.
    status, answer = predict(instances=[paint(RED)])
    assert status == 200
    (row,) = answer["predictions"]
    assert row["ids"] == ["rot", "żółty 🙂", "grün"]
    assert row["labels"] == [10, 40, 20]
    np.testing.assert_allclose(row["scores"], [1, 0.6, 0], atol=1e-6)
    assert predict(inputs=[paint(RED)], signature_name="search") == (
        200,
        {"outputs": {name: [value] for name, value in row.items()}},
    )


def test_jpeg_and_png_of_any_size_go_in_one_batch(predict, paint):
    batch = [paint(BLUE), paint(BLUE, size=(40, 3), kind="JPEG"), paint(GREEN)]
    status, answer = predict(inputs={"image_bytes": batch})
    assert status == 200
    assert [ids[0] for ids in answer["outputs"]["ids"]] == ["青", "青", "grün"]


def test_scalars_go_by_column(predict):
    request = {"signature_name": "scaled", "inputs": {"scale": 2, "points": [[1, 2]]}}
    outputs = {"size": 4.0, "scaled": [[2.0, 4.0]]}
    assert predict(**request) == (200, {"outputs": outputs})


def test_string_outputs_are_base64_if_their_name_says_bytes(predict):
    # base64 of "é" in UTF-8, c3 a9, is w6k=.
    status, answer = predict(signature_name="echo", instances=["é"])
    assert status == 200
    assert answer == {"predictions": [{"text": "é", "text_bytes": {"b64": "w6k="}}]}


def truncated(data):
    return data[: len(data) * 2 // 3]


def bad_requests(paint):
    """Body, status and a piece of the message."""
    noise = np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)
    good, noisy = paint(RED), encode_images([noise])[0]
    bomb = good[:16] + b"\x00\x01\x00\x00" * 2 + good[24:]
    yield b"", 400, "The body must be JSON"
    yield b"\x00\xff", 400, "The body must be JSON"
    yield b'{"instances": [', 400, "The body must be JSON"
    yield b"[" * 200_000, 400, "The body must be JSON"
    yield b"[1, 2]", 400, "must be a JSON object"
    yield {}, 400, "one of the keys 'instances' and 'inputs'"
    yield {"inputs": [good], "instances": [good]}, 400, "one of the keys"
    yield {"instances": []}, 400, "at least one example"
    yield {"instances": None}, 400, "at least one example"
    yield (
        {"instances": [good], "signature_name": "serach"},
        400,
        "Unknown signature 'serach'. Model 'colours' has: echo, embed, embed_encoded",
    )
    yield {"instances": [good], "signature_name": ["search"]}, 400, "must be a string"
    yield {"instances": [{"image": good}]}, 400, "'serving_default': image_bytes. Rec"
    yield {"inputs": {"image": [good]}}, 400, "'serving_default': image_bytes. Rec"
    yield {"inputs": good}, 400, "`image_bytes` must have shape (batch). Received: ()"
    yield {"inputs": [[good]]}, 400, "shape (batch). Received: (1, 1)"
    yield {"instances": [7]}, 400, "`image_bytes` must hold strings"
    yield {"instances": [good, {"b64": "no"}]}, 400, "`image_bytes[1]` must be a string"
    yield {"instances": [good, "text"]}, 400, "`image_bytes[1]` must be a JPEG or PNG"
    yield {"instances": [good, ""]}, 400, "`image_bytes[1]` must be a JPEG or PNG"
    yield {"instances": [bomb]}, 400, "`image_bytes[0]` must have between 1 and 67108"
    yield (
        {"instances": [good, good, truncated(noisy)]},
        400,
        "`image_bytes[2]` cannot be decoded",
    )
    yield {"instances": [[1, 2]], "signature_name": "embed"}, 400, "(batch, 4, 4, 3)"
    yield (
        {"instances": np.full((1, 4, 4, 3), 256), "signature_name": "embed_uint8"},
        400,
        "`images` has a number beyond the range of uint8",
    )
    yield {"instances": [1, 9], "signature_name": "pick"}, 400, "index must be below 5"
    yield (
        {"instances": [1, -9], "signature_name": "pick"},
        400,
        "indices[1] = -9 is not in",
    )
    yield b" " * (2**26 + 1), 413, "at most 67108864 bytes. Received: 67108865 bytes"


def test_a_malformed_request_is_answered_and_the_next_one_works(server, predict, paint):
    healthy = predict(instances=[paint(GREEN)])
    assert healthy[0] == 200
    for body, status, message in bad_requests(paint):
        answer = ask(server, "POST", "/v1/models/colours:predict", body)
        assert answer[0] == status, answer
        assert answer[1].keys() == {"error"}
        assert message in answer[1]["error"]
        assert predict(instances=[paint(GREEN)]) == healthy


@pytest.mark.parametrize(
    "method, path, status, message",
    [
        ("GET", "/v1/models/birds", 404, "Unknown model 'birds'. This server has 'col"),
        ("POST", "/v1/models/birds:predict", 404, "Unknown model 'birds'"),
        ("GET", "/v1/models/colours/versions/4", 404, "Unknown version 4 of model 'c"),
        ("POST", "/v1/models/colours/versions/4:predict", 404, "It has 3."),
        ("GET", "/v1/models/colours/versions/4/metadata", 404, "It has 3."),
        (
            "GET",
            "/v1/models/colours/versions/x",
            404,
            "This server answers /v1/models/",
        ),
        ("GET", "/", 404, "This server answers /v1/models/NAME"),
        ("GET", "/v1/models/colours/", 404, "This server answers /v1/models/NAME"),
        ("GET", "/v1/models/../../etc/passwd", 404, "This server answers /v1/models/"),
        ("GET", "/v1/models/colours:predict", 405, "not allowed. Allowed: POST."),
        ("POST", "/v1/models/colours", 405, "not allowed. Allowed: GET, HEAD."),
        ("DELETE", "/v1/models/colours/versions/3", 405, "Allowed: GET, HEAD."),
    ],
)
def test_says_what_is_wrong_with_a_url(server, method, path, status, message):
    answer = ask(server, method, path, b"{}" if method == "POST" else None)
    assert answer[0] == status
    assert message in answer[1]["error"]


@pytest.mark.parametrize(
    "sent",
    [
        b"rubbish\r\n\r\n",
        b"POST /v1/models/colours:predict HTTP/1.1\r\nHost: x\r\n"
        b"Content-Length: 100\r\n\r\n{",
        b"POST /v1/models/colours:predict HTTP/1.1\r\nHost: x\r\n"
        b"Content-Length: minus\r\n\r\n{}",
        b"",
    ],
    ids=["not HTTP", "hangs up within the body", "length is no number", "silent"],
)
def test_outlives_a_client_that_hangs_up(server, client, paint, sent, caplog):
    logging.getLogger("uvicorn.error").addHandler(caplog.handler)
    parts = urllib.parse.urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        connection.sendall(sent)
    assert client.search([paint(RED)])[0][0].id == "rot"
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


def test_answers_many_clients_at_once_each_its_own(client, paint):
    names = {RED: "rot", GREEN: "grün", BLUE: "青"}
    colours = list(names) * 8

    def nearest(colour):
        return client.search([paint(colour)])[0][0].id

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert list(pool.map(nearest, colours)) == [names[c] for c in colours]


def test_the_limit_on_bodies_is_inclusive(saved_model):
    request = {"signature_name": "half_plus_three", "instances": [1.0]}
    size = len(json.dumps(request))
    for limit, status in [(size, 200), (size - 1, 413)]:
        with serving.start(saved_model, max_body=limit) as server:
            assert (
                ask(server, "POST", "/v1/models/colours:predict", request)[0] == status
            )


def test_the_limit_on_pixels_is_inclusive(saved_model, paint):
    for limit, status in [(63, 200), (62, 400)]:
        with serving.start(saved_model, max_pixels=limit) as server:
            request = {"instances": [paint(RED, size=(9, 7))]}
            answer = ask(server, "POST", "/v1/models/colours:predict", request)
            assert answer[0] == status
    assert "between 1 and 62 pixels. Received: 7 x 9" in answer[1]["error"]


def test_a_fault_of_the_server_is_a_500_without_its_insides(saved_model, monkeypatch):
    request = {"signature_name": "half_plus_three", "instances": [1.0]}
    with serving.start(saved_model) as server:
        monkeypatch.setattr(ServedModel, "run", lambda *_: 1 / 0)
        answer = ask(server, "POST", "/v1/models/colours:predict", request)
    assert answer == (500, {"error": "The server failed: ZeroDivisionError."})


def test_rejects_a_damaged_saved_model(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1/saved_model.pb").write_bytes(b"not a protobuf")
    with pytest.raises(ValueError, match="must be a SavedModel, but it is damaged"):
        app(tmp_path)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png_is_taken(predict, mode):
    file = io.BytesIO()
    Image.new(mode, (5, 4)).save(file, "PNG")
    assert predict(inputs=[file.getvalue()])[0] == 200
