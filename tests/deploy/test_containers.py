"""The YAML files fit each other, the models and the schemas."""

import json
import os
import pathlib
import re

import pytest
import yaml

from kerasdml import deploy

FLAGS = {  # of tensorflow_model_server
    "--model_config_file",
    "--model_config_file_poll_wait_seconds",
    "--allow_version_labels_for_unavailable_models",
    "--enable_batching",
    "--batching_parameters_file",
    "--monitoring_config_file",
}
PROBE = ["bash", "/etc/serving/ready.sh", "birds", "fish"]


@pytest.fixture
def models(version):
    return [deploy.read(version("birds", 1)), deploy.read(version("a $b/fish", 7))]


@pytest.fixture
def out(models, tmp_path):
    return deploy.write(tmp_path / "out" / "deployment", models)


def load(path):
    return yaml.safe_load(path.read_text())


def refers_to(words, folder):
    """Every argument is a flag of the server, and every file of it is there."""
    for word in words:
        flag, _, value = word.partition("=")
        assert flag in FLAGS
        if value.startswith("/etc/serving/"):
            assert value.removeprefix("/etc/serving/") in folder


def test_compose_mounts_the_models(out, models):
    server = load(out / "docker-compose.yaml")["services"]["server"]
    assert server["image"] == "tensorflow/serving:2.20.0" and "build" not in server
    refers_to(server["command"], {file.name for file in out.iterdir()})
    assert server["healthcheck"]["test"] == ["CMD", *PROBE]
    assert all(port.startswith("127.0.0.1:") for port in server["ports"])
    config, *mounts = server["volumes"]
    assert (config["source"], config["target"]) == (".", "/etc/serving")
    for mount, model in zip(mounts, models, strict=True):
        assert mount["target"] == f"/models/{model.name}" and mount["read_only"]
        # Docker Compose reads "$$" as "$", and paths from the file's own folder.
        assert re.search(r"(?<!\$)\$(?!\$)", mount["source"]) is None
        source = out / mount["source"].replace("$$", "$")
        assert source.resolve() == model.home


def test_a_model_within_the_deployment_is_mounted_as_a_path(version, tmp_path):
    model = deploy.read(version("out/birds", 1), "x")
    (tmp_path / "out/models.config").touch()
    out = deploy.write(tmp_path / "out", [model], force=True)
    server = load(out / "docker-compose.yaml")["services"]["server"]
    assert server["volumes"][1]["source"] == "./birds"


def test_prometheus_collects_from_the_server(out):
    (job,) = load(out / "prometheus.yml")["scrape_configs"]
    assert job["metrics_path"] == "/monitoring/prometheus/metrics"
    assert job["static_configs"] == [{"targets": ["server:8501"]}]
    services = load(out / "docker-compose.yaml")["services"]
    (mount,) = services["prometheus"]["volumes"]
    assert (out / mount["source"]).is_file()


def test_the_manifests_fit_each_other(out):
    kustomization = load(out / "kustomization.yaml")
    found = [load(out / name) for name in kustomization["resources"]]
    assert sorted(f"kubernetes/{p.name}" for p in (out / "kubernetes").iterdir()) == (
        sorted(kustomization["resources"])
    )
    kinds = {manifest["kind"]: manifest for manifest in found}
    pod = kinds["Deployment"]["spec"]["template"]
    labels = pod["metadata"]["labels"]
    assert kinds["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert kinds["Service"]["spec"]["selector"] == labels
    target = kinds["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target["kind"] == "Deployment"
    assert target["name"] == kinds["Deployment"]["metadata"]["name"]
    (server,) = pod["spec"]["containers"]
    # The autoscaler measures by what is requested.
    assert server["resources"]["requests"] == {"cpu": "4", "memory": "2Gi"}
    (config,) = kustomization["configMapGenerator"]
    assert all((out / name).is_file() for name in config["files"])
    refers_to(server["args"], config["files"])
    for probe in ("startupProbe", "readinessProbe"):
        assert server[probe]["exec"]["command"] == PROBE
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    assert ports == {"grpc": 8500, "rest": 8501}
    for port in kinds["Service"]["spec"]["ports"]:
        assert port["port"] == ports[port["targetPort"]]
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert volumes["config"]["configMap"]["name"] == config["name"]
    claim = volumes["models"]["persistentVolumeClaim"]["claimName"]
    assert claim == kinds["PersistentVolumeClaim"]["metadata"]["name"]
    assert {mount["name"] for mount in server["volumeMounts"]} == set(volumes)


def test_the_manifests_fit_the_schemas_of_kubernetes(out):
    validate = pytest.importorskip(
        "kubernetes_validate", reason="needs kubernetes-validate, of 100 MB of schemas"
    )
    for file in (out / "kubernetes").iterdir():
        validate.validate(load(file), "1.29", strict=True)


@pytest.mark.skipif(
    "COMPOSE_SCHEMA" not in os.environ,
    reason="COMPOSE_SCHEMA names compose-spec.json of github.com/compose-spec",
)
def test_compose_fits_its_schema(out):
    schema = json.loads(pathlib.Path(os.environ["COMPOSE_SCHEMA"]).read_text())
    pytest.importorskip("jsonschema").validate(
        load(out / "docker-compose.yaml"), schema
    )


def test_scann_gets_a_server_to_build(version, tmp_path):
    model = deploy.read(version("birds", 1, ["MatMul", "Scann>ScannSearchBatched"]))
    plain = deploy.read(version("fish", 1))
    out = deploy.write(tmp_path / "out", [plain, model])
    server = load(out / "docker-compose.yaml")["services"]["server"]
    assert server["build"] == "scann-server"
    assert server["image"] == "tf-serving-scann:2.20.0"
    dockerfile = (out / "scann-server/Dockerfile").read_text()
    assert re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE) == [
        "tensorflow/serving:2.20.0-devel",
        "tensorflow/serving:2.20.0",
    ]
    assert re.search("^ARG SCANN_COMMIT=[0-9a-f]{40}$", dockerfile, re.MULTILINE)
    assert """grep -q 'version = "1.4.2"'""" in dockerfile
    assert set(re.findall(r"\$\S+", dockerfile)) == {"${SCANN_COMMIT}"}
    assert "scann-server/Dockerfile" in (out / "README.md").read_text()
