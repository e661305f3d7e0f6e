"""Our messages are TF Serving's on the wire."""

import importlib.util
import pathlib
import subprocess
import sys

import pytest
from google.protobuf import descriptor_pb2
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from kerasdml.serving import protos

FOLDER = pathlib.Path(protos.__file__).parent


def same_fields(ours, theirs):
    """Every field of ours is one of theirs: name, number, type, and so below it."""
    assert ours.full_name == theirs.full_name
    seen = {ours.full_name}
    pairs = [(ours, theirs)]
    while pairs:
        mine, official = pairs.pop()
        for field in mine.fields:
            twin = official.fields_by_name[field.name]
            where = f"{mine.full_name}.{field.name}"
            assert field.number == twin.number, where
            # StatusProto's code is an enum of a file that is not here: a varint too.
            varint = {field.TYPE_INT32, field.TYPE_ENUM}
            assert field.type == twin.type or {field.type, twin.type} == varint, where
            assert field.is_repeated == twin.is_repeated, where
            assert field.is_packed == twin.is_packed, where
            if field.message_type and field.message_type.full_name not in seen:
                # Entries of maps have no name of their own that counts.
                seen.add(field.message_type.full_name)
                pairs.append((field.message_type, twin.message_type))


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (protos.TensorProto, tensor_pb2.TensorProto),
        (protos.SignatureDef, meta_graph_pb2.SignatureDef),
        (protos.SavedModel, saved_model_pb2.SavedModel),
    ],
    ids=lambda message: message.DESCRIPTOR.full_name,
)
def test_messages_are_tensorflows(ours, theirs):
    same_fields(ours.DESCRIPTOR, theirs.DESCRIPTOR)


def test_types_have_tensorflows_numbers():
    for value in protos.DataType.values:
        assert types_pb2.DataType.Value(value.name) == value.number


def test_messages_are_tensorflow_servings():
    # Only this extra package has them: pip install --no-deps tensorflow-serving-api.
    apis = pytest.importorskip("tensorflow_serving.apis")
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        predict_pb2,
        prediction_log_pb2,
    )
    from tensorflow_serving.config import model_server_config_pb2

    assert apis
    for name, module in {
        "PredictRequest": predict_pb2,
        "PredictResponse": predict_pb2,
        "GetModelMetadataRequest": get_model_metadata_pb2,
        "GetModelMetadataResponse": get_model_metadata_pb2,
        "SignatureDefMap": get_model_metadata_pb2,
        "GetModelStatusRequest": get_model_status_pb2,
        "GetModelStatusResponse": get_model_status_pb2,
        "PredictionLog": prediction_log_pb2,
        "ModelServerConfig": model_server_config_pb2,
    }.items():
        same_fields(getattr(protos, name).DESCRIPTOR, getattr(module, name).DESCRIPTOR)
    states = get_model_status_pb2.ModelVersionStatus.State
    assert dict(states.items()) == {v.name: v.number for v in protos.State.values}


def test_services_are_tensorflow_servings():
    pytest.importorskip("tensorflow_serving.apis")
    from tensorflow_serving.apis import model_service_pb2, prediction_service_pb2

    for module in (model_service_pb2, prediction_service_pb2):
        (name,) = module.DESCRIPTOR.services_by_name
        service = module.DESCRIPTOR.services_by_name[name]
        for method, (path, request, response) in protos.methods(name).items():
            official = service.methods_by_name[method]
            assert path == f"/{service.full_name}/{method}"
            assert request.DESCRIPTOR.full_name == official.input_type.full_name
            assert response.DESCRIPTOR.full_name == official.output_type.full_name


def test_descriptors_are_made_of_the_files_beside_them(tmp_path):
    if importlib.util.find_spec("grpc_tools") is None:
        pytest.skip("pip install grpcio-tools")
    made = tmp_path / "made.pb"
    files = ["serving.proto", "config.proto", "saved_model.proto"]
    options = ["--include_imports", f"--descriptor_set_out={made}", f"-I{FOLDER}"]
    # In a process of its own: beside TensorFlow's protobuf it would end this one.
    command = [sys.executable, "-m", "grpc_tools.protoc", *options, *files]
    subprocess.run(command, check=True)
    made, committed = (
        descriptor_pb2.FileDescriptorSet.FromString(file.read_bytes())
        for file in (made, FOLDER / "descriptors.pb")
    )
    assert committed == made
