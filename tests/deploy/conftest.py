"""Versions of models of which a deployment reads only `saved_model.pb`."""

import pytest

from kerasdml.serving import protos


@pytest.fixture
def version(tmp_path):
    """`version(home, number)` writes one and returns its home."""

    def write(
        home, number, operations=("MatMul",), tensorflow="2.20.0", tags=("serve",)
    ):
        saved = protos.SavedModel()
        graph = saved.meta_graphs.add()
        graph.meta_info_def.tags.extend(tags)
        graph.meta_info_def.tensorflow_version = tensorflow
        for name in operations:
            graph.meta_info_def.stripped_op_list.op.add(name=name)
        graph.signature_def["search"].method_name = "tensorflow/serving/predict"
        graph.signature_def["__saved_model_init_op"].method_name = ""
        folder = tmp_path / home / str(number)
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
        return folder.parent

    return write
