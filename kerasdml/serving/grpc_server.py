"""The local server's gRPC side: TF Serving's PredictionService and ModelService."""

import functools
import pathlib
import time
from concurrent.futures import ThreadPoolExecutor

try:
    import grpc
except ImportError as error:
    raise ImportError(
        "gRPC needs grpcio: pip install kerasdml[serve], or serve REST alone with "
        "`grpc_port=None`."
    ) from error

from google.protobuf.message import DecodeError

from kerasdml.serving.errors import GRPC_CODES, ServingError
from kerasdml.serving.protos import (
    GetModelMetadataResponse,
    GetModelStatusResponse,
    PredictResponse,
    SignatureDef,
    SignatureDefMap,
    State,
    methods,
)
from kerasdml.serving.service import Service
from kerasdml.serving.tensors import to_array, to_proto

# Threads for status and metadata while every place for a prediction is taken.
_SPARE = 4

# Names of google.rpc.Code to its numbers, which StatusProto holds.
_NUMBERS = {code.name: code.value[0] for code in grpc.StatusCode}


def grpc_server(service: Service, host: str, port: int):
    """A gRPC server of a `Service`, not yet started, and the port it is bound to.

    Raises:
        OSError: If the port is taken.
    """
    options = service.options
    server = grpc.server(
        ThreadPoolExecutor(options.concurrency + _SPARE),
        options=[
            ("grpc.max_receive_message_length", options.max_body),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ],
    )
    answers = {
        "PredictionService": {"Predict": predict, "GetModelMetadata": metadata},
        "ModelService": {"GetModelStatus": status},
    }
    for name, handlers in answers.items():
        rpcs = {
            method: grpc.unary_unary_rpc_method_handler(
                functools.partial(_answer, service, method, kind, handlers[method])
            )
            for method, (_, kind, _) in methods(name).items()
        }
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(f"tensorflow.serving.{name}", rpcs)]
        )
    return server, _bind(server, host, port, options)


def predict(service, request, remaining):
    with service.slot(), _model(service, request) as batcher:
        model, wanted = batcher.model, request.model_spec.signature_name
        signature = model.signature(wanted)
        _check_filter(request.output_filter, signature)
        signature.check_names(request.inputs, "The request")
        inputs = {
            name: _array(name, tensor, service.options.max_body)
            for name, tensor in request.inputs.items()
        }
        future = batcher.submit(signature, signature.completed(inputs))
        try:
            outputs = future.result(min(service.options.timeout, remaining))
        except TimeoutError as error:
            future.cancel()
            raise service.too_late() from error
        response = PredictResponse()
        for name in request.output_filter or outputs:
            response.outputs[name].CopyFrom(to_proto(outputs[name]))
        _set_spec(response, model, signature.name)
        return response


def metadata(service, request, remaining):
    if list(request.metadata_field) != ["signature_def"]:
        raise ServingError(
            400,
            "`metadata_field` must be ['signature_def']. "
            f"Received: {list(request.metadata_field)}.",
        )
    with _model(service, request) as batcher:
        signatures = SignatureDefMap()
        for name, definition in batcher.model.signature_defs.items():
            signatures.signature_def[name].CopyFrom(
                SignatureDef.FromString(definition.SerializeToString())
            )
        response = GetModelMetadataResponse()
        _set_spec(response, batcher.model)
        response.metadata["signature_def"].Pack(signatures)
        return response


def status(service, request, remaining):
    response = GetModelStatusResponse()
    for state in service.states(**_which(request)):
        told = response.model_version_status.add()
        told.version = state.version
        told.state = State.values_by_name[state.state].number
        told.status.error_code = _NUMBERS[state.code]
        told.status.error_message = state.message
    return response


def _answer(service, method, kind, handler, data, context):
    """The answer to the bytes of a request, as bytes; ends the call where it fails."""
    start, code = time.perf_counter(), grpc.StatusCode.OK
    try:
        service.check_token(dict(context.invocation_metadata()).get("authorization"))
        response = handler(service, _parse(kind, data), _remaining(context))
        return response.SerializeToString()
    except ServingError as error:
        code, message = _status_code(error.status), error.message
    except Exception as error:
        code = grpc.StatusCode.INTERNAL
        message = f"The server failed: {type(error).__name__}."
    finally:
        seconds = time.perf_counter() - start
        service.telemetry.request("grpc", method, code.name, seconds)
    return context.abort(code, message)


def _parse(kind, data):
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise ServingError(400, f"The request must be a {kind.__name__}.") from error


def _remaining(context):
    remaining = context.time_remaining()
    return float("inf") if remaining is None else remaining


def _status_code(status):
    return grpc.StatusCode[GRPC_CODES.get(status, "INTERNAL")]


def _which(request):
    """The model and the version or label that a request names."""
    spec = request.model_spec
    match spec.WhichOneof("version_choice"):
        case "version":
            return {"name": spec.name, "version": spec.version.value}
        case "version_label":
            return {"name": spec.name, "label": spec.version_label}
    return {"name": spec.name}


def _model(service, request):
    return service.model(**_which(request))


def _array(name, tensor, max_bytes):
    try:
        return to_array(tensor, max_bytes)
    except ValueError as error:
        raise ServingError(400, f"`{name}` {error}") from error


def _check_filter(names, signature):
    unknown = set(names) - signature.outputs.keys()
    if unknown or len(set(names)) != len(names):
        raise ServingError(
            400,
            f"`output_filter` must be different outputs of signature "
            f"{signature.name!r}: {', '.join(signature.outputs)}. "
            f"Received: {', '.join(names)}.",
        )


def _set_spec(response, model, signature_name=""):
    response.model_spec.name = model.name
    response.model_spec.version.value = model.version
    response.model_spec.signature_name = signature_name


def _bind(server, host, port, options):
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if options.certificate is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, _credentials(options))
    except RuntimeError as error:
        raise OSError(
            f"Cannot listen on port {port} of {host} for gRPC. Choose another "
            "`grpc_port`, 0 for any free one, or None for REST alone."
        ) from error


def _credentials(options):
    key, certificate = (
        pathlib.Path(path).read_bytes() for path in (options.key, options.certificate)
    )
    return grpc.ssl_server_credentials([(key, certificate)])
