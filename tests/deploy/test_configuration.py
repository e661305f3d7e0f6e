"""What TensorFlow Serving reads is as its own messages say."""

import pytest
from google.protobuf import text_format

from kerasdml import deploy
from kerasdml.serving import protos


def official():
    config = pytest.importorskip(
        "tensorflow_serving.config.model_server_config_pb2",
        reason="needs tensorflow-serving-api",
    )
    return config.ModelServerConfig()


@pytest.mark.parametrize("message", [protos.ModelServerConfig, official])
def test_models_config(message, version, tmp_path):
    for number in (1, 2, 10):
        version("birds", number)
        version("fish", number)
        version("b.e-e_s", number)
    models = [
        deploy.read(tmp_path / "birds"),
        deploy.read(tmp_path / "fish", versions=[10, 2], labels={"stable": 2}),
        deploy.read(tmp_path / "b.e-e_s", versions="all", labels={"a": 1, "b": 10}),
        deploy.read(tmp_path / "fish", "both", versions="latest:2"),
    ]
    out = deploy.write(tmp_path / "out", models)
    parsed = text_format.Parse((out / "models.config").read_text(), message())
    birds, fish, bees, both = parsed.model_config_list.config
    assert [c.name for c in (birds, fish, bees, both)] == [
        "birds",
        "fish",
        "b.e-e_s",
        "both",
    ]
    assert both.base_path == "/models/both" and both.model_platform == "tensorflow"
    assert birds.model_version_policy.latest.num_versions == 1
    assert both.model_version_policy.latest.num_versions == 2
    assert fish.model_version_policy.specific.versions == [2, 10]
    assert bees.model_version_policy.HasField("all")
    assert dict(fish.version_labels) == {"stable": 2}
    assert dict(bees.version_labels) == {"a": 1, "b": 10}


def test_batching_and_monitoring(version, tmp_path):
    out = deploy.write(tmp_path / "out", [deploy.read(version("birds", 1))])

    def read(name, message):
        return text_format.Parse((out / name).read_text(), message())

    batching = read("batching.config", protos.BatchingParameters)
    assert batching.enable_large_batch_splitting.value
    # The former must be at least the latter.
    assert batching.max_batch_size.value == 1024
    assert batching.max_execution_batch_size.value == 64
    assert batching.num_batch_threads.value >= 1
    assert batching.batch_timeout_micros.value < 10_000
    monitoring = read("monitoring.config", protos.MonitoringConfig).prometheus_config
    assert monitoring.enable
    assert monitoring.path == "/monitoring/prometheus/metrics"
