"""Requests made up by hypothesis: no fault of the server, and the next one is answered.

A few of them here; KERASDML_FUZZ_EXAMPLES=4000 makes it minutes.
"""

import base64
import contextlib
import http.client
import json
import os
import socket
import urllib.parse

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kerasdml import serving
from kerasdml.serving import protos

EXAMPLES = int(os.environ.get("KERASDML_FUZZ_EXAMPLES", "60"))
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES == 60,
    suppress_health_check=list(HealthCheck),
)

SIGNATURES = [
    *["serving_default", "embed", "embed_uint8", "embed_encoded", "search", "none"],
    *["search_k", "search_embeddings", "half_plus_three", "scaled", "pick", "echo"],
]
NAMES = ["image_bytes", "images", "x", "scale", "points", "index", "text", "k", "b64"]
NAMES += [".."]

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02"
some_bytes = st.one_of(
    st.binary(max_size=60),
    st.binary(max_size=60).map(lambda tail: PNG + tail),
    st.binary(max_size=60).map(lambda tail: b"\xff\xd8\xff" + tail),
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 9),
    st.floats(),
    st.text(max_size=5),
    some_bytes.map(lambda data: {"b64": base64.b64encode(data).decode()}),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=3
        ),
    ),
    max_leaves=12,
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "signature_name": st.sampled_from(SIGNATURES) | values,
        "instances": values,
        "inputs": values,
    },
)
bodies = st.one_of(
    requests.map(lambda request: json.dumps(request).encode()),
    st.binary(max_size=200),
    st.tuples(requests, st.integers(0, 300), st.binary(max_size=4)).map(
        lambda parts: splice(json.dumps(parts[0]).encode(), *parts[1:])
    ),
)
words = st.sampled_from(
    ["v1", "models", "colours", "versions", "labels", "3", "..", ".", "metadata"]
) | st.text(max_size=6).map(lambda text: urllib.parse.quote(text, ""))
paths = st.one_of(
    st.lists(words, max_size=7).map(lambda parts: "/" + "/".join(parts)),
    st.sampled_from(
        ["", ":predict", "/metadata", "/versions/3:predict", ":classify"]
    ).map(lambda end: f"/v1/models/colours{end}"),
)

tensors = st.builds(
    lambda dtype, dims, content, floats, ints, strings: protos.TensorProto(
        dtype=dtype,
        tensor_shape={"dim": [{"size": size} for size in dims]},
        tensor_content=content,
        float_val=floats,
        int_val=ints,
        int64_val=ints,
        string_val=strings,
    ),
    st.sampled_from([0, 1, 3, 4, 7, 9, 10, 19, 99]),
    st.lists(st.sampled_from([-1, 0, 1, 2, 3, 4, 2**31, 2**62]), max_size=5),
    st.just(b"") | st.binary(max_size=64),
    st.lists(st.floats(width=32), max_size=4),
    st.lists(st.integers(-3, 300), max_size=4),
    st.lists(some_bytes, max_size=3),
)
messages = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda signature, inputs, wanted: protos.PredictRequest(
            model_spec={"name": "colours", "signature_name": signature},
            inputs=inputs,
            output_filter=wanted,
        ).SerializeToString(),
        st.sampled_from(SIGNATURES),
        st.dictionaries(st.sampled_from(NAMES), tensors, max_size=3),
        st.lists(st.sampled_from(["y", "scores", "none"]), max_size=2),
    ),
)


def splice(body, at, piece):
    return body[:at] + piece + body[at + len(piece) :]


@pytest.fixture(scope="module")
def server(saved_model):
    with serving.start(saved_model) as running:
        yield running
        client = serving.Client(running.url, running.name)
        assert client.predict([1.0], signature_name="half_plus_three") == [3.5]


def exchange(server, method, path, body=None):
    address = urllib.parse.urlsplit(server.url).netloc
    with contextlib.closing(http.client.HTTPConnection(address, timeout=60)) as sent:
        sent.request(method, path, body)
        response = sent.getresponse()
        return response.status, json.loads(response.read())


@fuzz
@given(body=bodies)
def test_any_body(server, body):
    status, answer = exchange(server, "POST", "/v1/models/colours:predict", body)
    assert status in (200, 400), (status, answer)
    assert status == 200 or set(answer) == {"error"}


@fuzz
@given(method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]), path=paths)
def test_any_url(server, method, path):
    status, answer = exchange(server, method, path, b"{}")
    assert status in (200, 400, 404, 405), (status, answer)


@fuzz
@given(message=messages, method=st.sampled_from(["Predict", "GetModelMetadata"]))
def test_any_grpc_message(server, message, method):
    address = server.grpc_url.removeprefix("grpc://")
    with grpc.insecure_channel(address) as channel:
        path, _, _ = protos.methods("PredictionService")[method]
        try:
            assert channel.unary_unary(path)(message, timeout=30) is not None
        except grpc.RpcError as error:
            assert error.code().name in ("INVALID_ARGUMENT", "NOT_FOUND"), error


@fuzz
@given(data=st.binary(max_size=400))
def test_any_bytes(server, data):
    for url in (server.url, server.grpc_url):
        parts = urllib.parse.urlsplit(url)
        with socket.create_connection((parts.hostname, parts.port)) as raw:
            raw.sendall(data)
