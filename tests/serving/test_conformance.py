"""What TF Serving's documentation shows is asked and answered here.

Sources: "RESTful API", https://www.tensorflow.org/tfx/serving/api_rest, and the
`.proto` files of tensorflow_serving/apis.

It runs against the local server. To run it against TF Serving, write the models by

    python -m tests.serving.half_plus_two MODELS

serve them,

    tensorflow_model_server --port=8500 --rest_api_port=8501 \
        --model_config_file=MODELS/models.config

and set TF_SERVING_URL=http://127.0.0.1:8501 and TF_SERVING_GRPC=127.0.0.1:8500.
"""

import json
import os
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest

from kerasdml import serving
from kerasdml.serving import protos
from kerasdml.serving.tensors import to_array, to_proto
from tests.serving.half_plus_two import LABELS, NAME, write_models

BASE = f"/v1/models/{NAME}"
PREDICT = f"{BASE}:predict"
MISSING = "<no such key>"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """REST address and gRPC address."""
    if url := os.environ.get("TF_SERVING_URL"):
        yield url.rstrip("/"), os.environ.get("TF_SERVING_GRPC")
        return
    models = write_models(tmp_path_factory.mktemp("models"))
    with serving.start(models / NAME, versions="all", labels=LABELS) as running:
        yield running.url, running.grpc_url.removeprefix("grpc://")


@pytest.fixture
def ask(server):
    def send(path, request=None):
        data = None if request is None else json.dumps(request).encode()
        url = urllib.request.Request(server[0] + path, data)
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    return send


@pytest.fixture
def call(server):
    if server[1] is None:
        pytest.skip("TF_SERVING_GRPC does not say where gRPC is")
    with grpc.insecure_channel(server[1]) as channel:

        def send(service, method, **fields):
            path, kind, answer = protos.methods(service)[method]
            stub = channel.unary_unary(path, kind.SerializeToString, answer.FromString)
            return stub(kind(**fields), timeout=30)

        yield send


# What is asked of a signature and what it answers: the two forms, and the ways to leave
# out names, of the documentation's sections "Predict API" and "Encoding binary values".
PREDICTIONS = {
    "values by row": (
        {"instances": [1.0, 2.0, 5.0]},
        {"predictions": [2.5, 3.0, 4.5]},
    ),
    "values by column": (
        {"inputs": [1.0, 2.0, 5.0]},
        {"outputs": [2.5, 3.0, 4.5]},
    ),
    "named input by row": (
        {"instances": [{"x": 1.0}, {"x": 2.0}]},
        {"predictions": [2.5, 3.0]},
    ),
    "named input by column": (
        {"inputs": {"x": [1.0, 2.0]}},
        {"outputs": [2.5, 3.0]},
    ),
    "the signature by its name": (
        {"signature_name": "serving_default", "instances": [4]},
        {"predictions": [4.0]},
    ),
    "several inputs and outputs by row": (
        {
            "signature_name": "sensors",
            "instances": [
                {"tag": "foo", "signal": [1, 2], "sensor": [[1, 2], [3, 4]]},
                {"tag": "bar", "signal": [3, 4], "sensor": [[4, 5], [6, 8]]},
            ],
        },
        {
            "predictions": [
                {"tag": "foo", "total": 13},
                {"tag": "bar", "total": 30},
            ]
        },
    ),
    "several inputs and outputs by column": (
        {
            "signature_name": "sensors",
            "inputs": {
                "tag": ["foo", "bar"],
                "signal": [[1, 2], [3, 4]],
                "sensor": [[[1, 2], [3, 4]], [[4, 5], [6, 8]]],
            },
        },
        {"outputs": {"tag": ["foo", "bar"], "total": [13, 30]}},
    ),
    "binary values": (
        # The documentation's base64 of "image bytes" and of "awesome", by another name:
        # what is called `image_bytes` must hold images here.
        {
            "signature_name": "binary",
            "instances": [
                {"picture_bytes": {"b64": "aW1hZ2UgYnl0ZXM="}, "caption": "seaside"},
                {"picture_bytes": {"b64": "YXdlc29tZQ=="}, "caption": "mountains"},
            ],
        },
        {
            "predictions": [
                {"picture_bytes": {"b64": "aW1hZ2UgYnl0ZXM="}, "caption": "seaside"},
                {"picture_bytes": {"b64": "YXdlc29tZQ=="}, "caption": "mountains"},
            ]
        },
    ),
    "numbers that JSON has no words for": (
        {"instances": [float("nan"), float("inf"), float("-inf")]},
        {"predictions": [float("nan"), float("inf"), float("-inf")]},
    ),
}


@pytest.mark.parametrize(
    "request_, expected", PREDICTIONS.values(), ids=PREDICTIONS.keys()
)
def test_predict(ask, request_, expected):
    status, answer = ask(PREDICT, request_)
    assert status == 200, answer
    # As text, as NaN is not equal to itself.
    assert json.dumps(answer, sort_keys=True) == json.dumps(expected, sort_keys=True)


@pytest.mark.parametrize(
    "which, expected",
    [
        ("", 3.0),  # x / 2 + 2, the newest version's
        ("/versions/2", 3.0),
        ("/versions/1", 4.0),  # x / 2 + 3
        ("/labels/stable", 4.0),
        ("/labels/canary", 3.0),
    ],
)
def test_predict_of_a_version_or_label(ask, which, expected):
    answer = ask(f"{BASE}{which}:predict", {"instances": [2.0]})
    assert answer == (200, {"predictions": [expected]})


def state(version):
    return {
        "version": str(version),
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }


@pytest.mark.parametrize(
    "which, versions",
    [("", [2, 1]), ("/versions/1", [1]), ("/labels/stable", [1])],
)
def test_status(ask, which, versions):
    expected = {"model_version_status": [state(version) for version in versions]}
    assert ask(f"{BASE}{which}") == (200, expected)


@pytest.mark.parametrize(
    "which, version", [("", 2), ("/versions/1", 1), ("/labels/stable", 1)]
)
def test_metadata(ask, which, version):
    status, answer = ask(f"{BASE}{which}/metadata")
    assert status == 200
    spec = {"name": NAME, "signature_name": "", "version": str(version)}
    assert answer["model_spec"] == spec
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    default = signatures["serving_default"]
    assert default["method_name"] == "tensorflow/serving/predict"
    assert default["inputs"]["x"] == {
        "dtype": "DT_FLOAT",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
        "name": "serving_default_x:0",
    }
    assert signatures["sensors"]["inputs"]["tag"]["dtype"] == "DT_STRING"


@pytest.mark.parametrize(
    "path, request_, status",
    [
        ("/v1/models/none", None, 404),
        ("/v1/models/none:predict", {"instances": [1.0]}, 404),
        ("/v1/models/none/metadata", None, 404),
        (f"{BASE}/versions/9", None, 404),
        (f"{BASE}/versions/9:predict", {"instances": [1.0]}, 404),
        (f"{BASE}/labels/none:predict", {"instances": [1.0]}, 400),
        (PREDICT, {"instances": []}, 400),
        (PREDICT, {"instances": [1.0], "inputs": [1.0]}, 400),
        (PREDICT, {}, 400),
        (PREDICT, {"instances": ["text"]}, 400),
        (PREDICT, {"instances": [[1.0], [1.0, 2.0]]}, 400),
        (PREDICT, {"instances": [{"y": 1.0}]}, 400),
        (PREDICT, {"instances": [1.0], "signature_name": "none"}, 400),
        (PREDICT, {"instances": [1.0], "signature_name": 7}, 400),
    ],
)
def test_errors(ask, path, request_, status):
    got, answer = ask(path, request_)
    assert (got, set(answer)) == (status, {"error"}), answer


@pytest.mark.parametrize(
    "spec, expected, version",
    [
        ({}, 3.0, 2),
        ({"version": {"value": 1}}, 4.0, 1),
        ({"version_label": "stable"}, 4.0, 1),
        ({"signature_name": "serving_default"}, 3.0, 2),
    ],
)
def test_grpc_predict(call, spec, expected, version):
    x = to_proto(np.float32([2.0, 2.0]))
    spec = {"name": NAME, **spec}
    answer = call("PredictionService", "Predict", model_spec=spec, inputs={"x": x})
    np.testing.assert_array_equal(to_array(answer.outputs["y"]), [expected] * 2)
    assert list(answer.outputs) == ["y"]
    assert answer.model_spec.name == NAME
    assert answer.model_spec.version.value == version
    assert answer.model_spec.signature_name == "serving_default"


def test_grpc_predict_of_some_outputs(call):
    answer = call(
        "PredictionService",
        "Predict",
        model_spec={"name": NAME, "signature_name": "sensors"},
        inputs={
            "tag": to_proto(np.array([b"foo"], object)),
            "signal": to_proto(np.int64([[1, 2]])),
            "sensor": to_proto(np.int64([[[1, 2], [3, 4]]])),
        },
        output_filter=["total"],
    )
    assert list(answer.outputs) == ["total"]
    assert to_array(answer.outputs["total"]) == [13]


def test_grpc_metadata(call):
    answer = call(
        "PredictionService",
        "GetModelMetadata",
        model_spec={"name": NAME, "version": {"value": 1}},
        metadata_field=["signature_def"],
    )
    assert (answer.model_spec.name, answer.model_spec.version.value) == (NAME, 1)
    packed = answer.metadata["signature_def"]
    assert packed.type_url == ("type.googleapis.com/tensorflow.serving.SignatureDefMap")
    signatures = protos.SignatureDefMap.FromString(packed.value).signature_def
    assert {"serving_default", "sensors", "binary"} <= set(signatures)
    x = signatures["serving_default"].inputs["x"]
    assert (x.dtype, [d.size for d in x.tensor_shape.dim]) == (1, [-1])


def test_grpc_status(call):
    answer = call("ModelService", "GetModelStatus", model_spec={"name": NAME})
    told = [
        (s.version, s.state, s.status.error_code) for s in answer.model_version_status
    ]
    assert told == [(2, 30, 0), (1, 30, 0)]
    one = call(
        "ModelService",
        "GetModelStatus",
        model_spec={"name": NAME, "version": {"value": 1}},
    )
    assert [s.version for s in one.model_version_status] == [1]


ONE = {"x": to_proto(np.float32([2.0]))}
NOT_FOUND, INVALID = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "service, method, fields, code",
    [
        ("ModelService", "GetModelStatus", {"model_spec": {"name": "none"}}, NOT_FOUND),
        *(
            ("PredictionService", "Predict", {"model_spec": s, "inputs": inputs}, code)
            for s, inputs, code in [
                ({"name": "none"}, ONE, NOT_FOUND),
                ({"name": NAME, "version": {"value": 9}}, ONE, NOT_FOUND),
                ({"name": NAME, "version_label": "none"}, ONE, INVALID),
                ({"name": NAME}, {}, INVALID),
                ({"name": NAME}, {"z": ONE["x"]}, INVALID),
                ({"name": NAME}, {"x": to_proto(np.int64([1]))}, INVALID),
                ({"name": NAME}, {"x": to_proto(np.float32([[1]]))}, INVALID),
            ]
        ),
        (
            "PredictionService",
            "Predict",
            {"model_spec": {"name": NAME}, "inputs": ONE, "output_filter": ["none"]},
            INVALID,
        ),
        (
            "PredictionService",
            "GetModelMetadata",
            {"model_spec": {"name": NAME}, "metadata_field": ["none"]},
            INVALID,
        ),
    ],
)
def test_grpc_errors(call, service, method, fields, code):
    with pytest.raises(grpc.RpcError) as caught:
        call(service, method, **fields)
    assert caught.value.code() == code, caught.value.details()
