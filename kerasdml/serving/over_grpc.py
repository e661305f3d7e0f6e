"""The client's side of TF Serving's gRPC API."""

import json
import pathlib
import types

import numpy as np

try:
    import grpc
except ImportError as error:
    raise ImportError(
        "A grpc:// address needs grpcio: pip install kerasdml[serve]. "
        "An http:// address needs nothing."
    ) from error

from kerasdml.serving import rest
from kerasdml.serving.errors import GRPC_CODES, ServingError
from kerasdml.serving.over_rest import jsonable
from kerasdml.serving.protos import SignatureDefMap, State, methods
from kerasdml.serving.signature import DEFAULT_SIGNATURE, Signature, TensorSpec
from kerasdml.serving.tensors import numpy_dtype, to_array, to_proto

# The first of several statuses of a code counts, and so comes last here.
_STATUSES = {code: status for status, code in reversed(GRPC_CODES.items())} | {
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
}
_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}

_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # As REST does: straight to the server.
    ("grpc.enable_http_proxy", 0),
    # Pauses are `retrying`'s; a server that is back is to be found at once.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class Grpc:
    """Calls one model over one gRPC channel; may be shared by threads.

    Args:
        url: The parts of the server's URL, of `urllib.parse.urlsplit`.
        model: Name of the model.
        version: Number of the version, or None.
        label: Label of the version, or None.
        token: What requests bear, or None.
        ca: PEM file of the authorities that are trusted, or None for the system's.
    """

    def __init__(self, url, model, version=None, label=None, token=None, ca=None):
        self._url = url.geturl()
        self._channel = _channel(url, ca)
        self._calls = {
            name: (
                self._channel.unary_unary(
                    path, kind.SerializeToString, answer.FromString
                ),
                kind,
            )
            for service in ("PredictionService", "ModelService")
            for name, (path, kind, answer) in methods(service).items()
        }
        self._spec = {"name": model}
        if version is not None:
            self._spec["version"] = {"value": version}
        elif label is not None:
            self._spec["version_label"] = label
        self._metadata = [("authorization", f"Bearer {token}")] if token else []
        self._signatures = {}

    def status(self, seconds):
        answer = self._call("GetModelStatus", seconds)
        return {
            "model_version_status": [
                {
                    "version": str(told.version),
                    "state": State.values_by_number[told.state].name,
                    "status": {
                        "error_code": _NAMES.get(told.status.error_code, "UNKNOWN"),
                        "error_message": told.status.error_message,
                    },
                }
                for told in answer.model_version_status
            ]
        }

    def metadata(self, seconds):
        spec, signatures = self._served(seconds)
        return rest.metadata(
            types.SimpleNamespace(
                name=spec.name, version=spec.version.value, signature_defs=signatures
            )
        )

    def predict(self, form, values, signature_name, seconds):
        """The answer to `values` in a form, "instances" or "inputs", as JSON has it."""
        signature = self._signature(signature_name or DEFAULT_SIGNATURE, seconds)
        plain = json.loads(json.dumps(values, default=jsonable))
        arrays = rest.arrays(plain, form, signature)
        outputs = self._predict(signature, arrays, seconds)
        (answer,) = rest.answer(form, outputs).values()
        return answer

    def outputs(self, signature_name, inputs, seconds):
        """The batch of the only output, or output name to batch, as arrays."""
        signature = self._signature(signature_name, seconds)
        signature.check_names(inputs, "The request")
        arrays = {
            name: np.asarray(values, signature.inputs[name].dtype)
            for name, values in inputs.items()
        }
        outputs = {
            name: _as_text(array)
            for name, array in self._predict(signature, arrays, seconds).items()
        }
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

    def close(self):
        self._channel.close()

    def _predict(self, signature, arrays, seconds):
        inputs = {name: to_proto(array) for name, array in arrays.items()}
        try:
            answer = self._call("Predict", seconds, signature.name, inputs=inputs)
        except ServingError:
            # Another version may have come, with other signatures.
            self._signatures.clear()
            raise
        return {name: to_array(tensor) for name, tensor in answer.outputs.items()}

    def _signature(self, name, seconds):
        signature = self._signatures.get(name)
        if signature is None:
            _, signatures = self._served(seconds)
            if name not in signatures:
                self._call("Predict", seconds, name)  # For the server's own words.
            one = signatures[name]
            signature = self._signatures[name] = Signature(
                name,
                _specs(one.inputs),
                _specs(one.outputs),
                {key: to_array(tensor) for key, tensor in one.defaults.items()},
            )
        return signature

    def _served(self, seconds):
        """The name and version of the model, and its signatures, as protobufs."""
        answer = self._call(
            "GetModelMetadata", seconds, metadata_field=["signature_def"]
        )
        signatures = SignatureDefMap.FromString(answer.metadata["signature_def"].value)
        return answer.model_spec, signatures.signature_def

    def _call(self, method, seconds, signature_name="", **fields):
        call, kind = self._calls[method]
        request = kind(
            model_spec={**self._spec, "signature_name": signature_name}, **fields
        )
        try:
            return call(request, timeout=seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise self._error(error, seconds) from error

    def _error(self, error, seconds):
        code = error.code().name
        if code == "DEADLINE_EXCEEDED":
            return TimeoutError(
                f"{self._url} did not answer within {seconds:.3g} seconds. "
                "Send fewer images at a time, or raise `timeout`."
            )
        if code == "UNAVAILABLE":
            return ConnectionError(
                f"{self._url} cannot be reached: {error.details()}. "
                "`kerasdml serve PATH` starts a server."
            )
        return ServingError(_STATUSES.get(code, 500), error.details())


def _channel(url, ca):
    if url.scheme == "grpc":
        return grpc.insecure_channel(url.netloc, _OPTIONS)
    trusted = None if ca is None else pathlib.Path(ca).read_bytes()
    credentials = grpc.ssl_channel_credentials(trusted)
    return grpc.secure_channel(url.netloc, credentials, _OPTIONS)


def _specs(infos):
    return {name: _spec(info) for name, info in infos.items()}


def _spec(info):
    dims = tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)
    shape = None if info.tensor_shape.unknown_rank else dims
    return TensorSpec(numpy_dtype(info.dtype), shape)


def _as_text(array):
    if array.dtype.kind != "O":
        return array
    texts = [value.decode() for value in array.ravel()]
    return np.array(texts, object).reshape(array.shape)
