"""TensorFlow Serving's messages, without TensorFlow.

The `.proto` files here are the part of TensorFlow Serving's public API that is spoken;
`descriptors.pb` is made of them by

    python -m grpc_tools.protoc -I kerasdml/serving/protos --include_imports \
        --descriptor_set_out=kerasdml/serving/protos/descriptors.pb \
        serving.proto config.proto saved_model.proto

They live in a pool of their own, as TensorFlow, which may be in the same process, has
messages of the same names in protobuf's default one. Descriptors in the place of
generated Python work with every version of protobuf that TensorFlow takes.
"""

import pathlib

try:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
except ImportError as error:
    raise ImportError(
        "gRPC needs grpcio and protobuf: pip install kerasdml[serve]. "
        "REST needs neither."
    ) from error

_FILES = descriptor_pb2.FileDescriptorSet.FromString(
    pathlib.Path(__file__).with_name("descriptors.pb").read_bytes()
)
_POOL = descriptor_pool.DescriptorPool()
for _file in _FILES.file:
    _POOL.Add(_file)


def _message(name):
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


SavedModel = _message("tensorflow.SavedModel")
SignatureDef = _message("tensorflow.SignatureDef")
TensorProto = _message("tensorflow.TensorProto")

BatchingParameters = _message("tensorflow.serving.BatchingParameters")
GetModelMetadataRequest = _message("tensorflow.serving.GetModelMetadataRequest")
GetModelMetadataResponse = _message("tensorflow.serving.GetModelMetadataResponse")
GetModelStatusRequest = _message("tensorflow.serving.GetModelStatusRequest")
GetModelStatusResponse = _message("tensorflow.serving.GetModelStatusResponse")
ModelServerConfig = _message("tensorflow.serving.ModelServerConfig")
ModelSpec = _message("tensorflow.serving.ModelSpec")
MonitoringConfig = _message("tensorflow.serving.MonitoringConfig")
PredictionLog = _message("tensorflow.serving.PredictionLog")
PredictRequest = _message("tensorflow.serving.PredictRequest")
PredictResponse = _message("tensorflow.serving.PredictResponse")
SignatureDefMap = _message("tensorflow.serving.SignatureDefMap")

# Name to number, and back by `.Name(number)`.
DataType = _POOL.FindEnumTypeByName("tensorflow.DataType")
State = _POOL.FindEnumTypeByName("tensorflow.serving.ModelVersionStatus.State")


def methods(service: str) -> dict[str, tuple]:
    """Each method of a service: its path, the class it takes and the one it gives."""
    found = _POOL.FindServiceByName(f"tensorflow.serving.{service}")
    return {
        method.name: (
            f"/{found.full_name}/{method.name}",
            _message(method.input_type.full_name),
            _message(method.output_type.full_name),
        )
        for method in found.methods
    }
