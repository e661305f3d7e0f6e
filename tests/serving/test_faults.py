"""What goes wrong at night, and that nobody notices."""

import concurrent.futures
import json
import pathlib
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
import tensorflow as tf

from kerasdml import serving
from kerasdml.serving.model import ServedModel
from kerasdml.serving.protos import PredictionLog
from kerasdml.serving.tensors import to_proto
from kerasdml.serving.warmup import REQUESTS
from tests.serving.half_plus_two import write_version


@pytest.fixture(scope="module")
def versions(tmp_path_factory):
    """Versions 1, x / 2 + 1, and 2, x / 2 + 2, to be copied."""
    home = tmp_path_factory.mktemp("versions")
    for number in (1, 2):
        write_version(home / str(number), float(number))
    return home


@pytest.fixture
def home(versions, tmp_path):
    shutil.copytree(versions / "1", tmp_path / "model" / "1")
    return tmp_path / "model"


@pytest.fixture
def running(home):
    with serving.start(home, poll=0.05) as server:
        yield server


def put(source, target):
    """Copies a version as a deployment should: it appears whole."""
    draft = target.with_name(f"{target.name}.draft")
    shutil.copytree(source, draft)
    draft.rename(target)


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def states(client):
    told = client.status()["model_version_status"]
    return {int(one["version"]): one["state"] for one in told}


def both(server):
    return [serving.Client(url, server.name) for url in (server.url, server.grpc_url)]


def test_a_swap_under_load_fails_no_request(versions, home, running):
    rest, grpc = both(running)
    stop, answers, failures = threading.Event(), set(), []

    def ask(client):
        while not stop.is_set():
            try:
                # At once, as a retry would hide a failure.
                answers.add(client.predict([2.0])[0])
            except Exception as error:
                failures.append(error)

    for client in (rest, grpc):
        client._retries = 0
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for client in [rest, grpc] * 4:
            pool.submit(ask, client)
        put(versions / "2", home / "2")
        until(lambda: states(rest) == {2: "AVAILABLE", 1: "END"})
        until(lambda: 3.0 in answers)
        shutil.rmtree(home / "2")  # And back.
        until(lambda: states(rest).get(1) == "AVAILABLE")
        stop.set()
    assert not failures
    assert answers == {2.0, 3.0}


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x10
    file.write_bytes(data)


DAMAGES = {
    "graph cut": lambda version: cut(version / "saved_model.pb"),
    "graph empty": lambda version: (version / "saved_model.pb").write_bytes(b""),
    "variables cut": lambda version: cut(data_file(version)),
    "variables flipped": lambda version: flip(data_file(version)),
    "variables gone": lambda version: shutil.rmtree(version / "variables"),
    "index of variables flipped": lambda version: flip(
        version / "variables/variables.index"
    ),
    "requests cut": lambda version: cut(with_requests(version)),
    "requests not answered": lambda version: with_requests(version, "none"),
}


def data_file(version):
    return next(version.glob("variables/variables.data*"))


def with_requests(version, signature="serving_default"):
    file = version / REQUESTS
    file.parent.mkdir(exist_ok=True)
    log = PredictionLog()
    log.predict_log.request.model_spec.signature_name = signature
    x = to_proto(np.float32([8.0, 9.0]))
    log.predict_log.request.inputs["x"].CopyFrom(x)
    with tf.io.TFRecordWriter(str(file)) as writer:
        writer.write(log.SerializeToString())
    return file


def test_a_corrupt_version_is_refused_and_the_old_one_serves(versions, home, running):
    # One after the other, as a server that has seen one must stand the next.
    client = serving.Client(running.url, running.name)
    for number, (name, damage) in enumerate(DAMAGES.items(), start=2):
        draft = home / "draft"
        shutil.copytree(versions / "2", draft)
        damage(draft)
        draft.rename(home / str(number))
        until(lambda number=number: states(client).get(number) == "END")
        (told,) = serving.Client(running.url, running.name, version=number).status()[
            "model_version_status"
        ]
        assert told["status"]["error_code"] != "OK" and told["status"]["error_message"]
        assert states(client)[1] == "AVAILABLE", name
        assert client.predict([2.0]) == [2.0]


def test_a_version_that_is_copied_slowly_is_served_in_the_end(versions, home, running):
    client = serving.Client(running.url, running.name)
    target = home / "2"
    target.mkdir()
    # The worst order: what makes it a version comes first.
    shutil.copy(versions / "2/saved_model.pb", target)
    until(lambda: states(client).get(2) == "END")
    shutil.copytree(versions / "2/variables", target / "variables")
    until(lambda: states(client).get(2) == "AVAILABLE")
    assert client.predict([2.0]) == [3.0]


def test_a_new_version_has_answered_its_own_requests_first(
    versions, home, running, monkeypatch
):
    calls, run = [], ServedModel.run

    def watched(self, signature, inputs):
        calls.append((self.version, signature.name, inputs["x"].tolist()))
        return run(self, signature, inputs)

    monkeypatch.setattr(ServedModel, "run", watched)
    shutil.copytree(versions / "2", home / "draft")
    with_requests(home / "draft")
    (home / "draft").rename(home / "2")
    client = serving.Client(running.url, running.name)
    until(lambda: states(client).get(2) == "AVAILABLE")
    assert calls == [(2, "serving_default", [8.0, 9.0])]


def test_one_too_many_is_told_to_come_back(home, monkeypatch):
    arrived, go = threading.Semaphore(0), threading.Event()
    run = ServedModel.run

    def slow(self, signature, inputs):
        arrived.release()
        assert go.wait(30)
        return run(self, signature, inputs)

    with serving.start(home, concurrency=2, batch_threads=2) as server:
        monkeypatch.setattr(ServedModel, "run", slow)
        rest, grpc = both(server)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            asked = [pool.submit(client.predict, [2.0]) for client in (rest, grpc)]
            for _ in asked:
                assert arrived.acquire(timeout=30)
            for client in (rest, grpc):
                client._retries = 0
                with pytest.raises(
                    serving.ServingError, match="busy: 2 pred"
                ) as caught:
                    client.predict([2.0])
                assert caught.value.status == 429
                assert client.status(), "its state can be asked meanwhile"
            go.set()
            assert [future.result() for future in asked] == [[2.0], [2.0]]


def test_what_takes_too_long_is_given_up(home, monkeypatch):
    go, run = threading.Event(), ServedModel.run

    def slow(self, signature, inputs):
        go.wait(30)
        return run(self, signature, inputs)

    with serving.start(home, timeout=0.2) as server:
        monkeypatch.setattr(ServedModel, "run", slow)
        rest, grpc = both(server)
        with pytest.raises(serving.ServingError, match="within 0.2 sec") as caught:
            rest.predict([2.0])
        assert caught.value.status == 504
        with pytest.raises(TimeoutError):
            grpc.predict([2.0])
        go.set()
        assert rest.predict([2.0]) == [2.0]


def test_only_the_bearer_of_the_token_is_answered(home):
    with serving.start(home, token="s3cret") as server:
        for url in (server.url, server.grpc_url):
            for token in (None, "wrong"):
                client = serving.Client(url, server.name, token=token)
                for ask in (
                    client.status,
                    client.metadata,
                    lambda c=client: c.predict([1]),
                ):
                    with pytest.raises(serving.ServingError, match="token") as caught:
                        ask()
                    assert caught.value.status == 401
            client = serving.Client(url, server.name, token="s3cret")
            assert client.predict([2.0]) == [2.0]
        assert ask_http(server, "/healthz") == (200, '{"versions":[1]}')
        assert ask_http(server, "/metrics")[0] == 401


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Paths of a key and of a certificate of 127.0.0.1 signed with it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    folder = tmp_path_factory.mktemp("tls")
    key, chain = folder / "key.pem", folder / "chain.pem"
    subprocess.run(
        [
            *["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes"],
            *["-subj", "/CN=local", "-addext", "subjectAltName=IP:127.0.0.1"],
            *["-keyout", key, "-out", chain],
        ],
        check=True,
        capture_output=True,
    )
    return key, chain


def test_tls(home, certificate):
    key, chain = certificate
    with serving.start(home, key=key, certificate=chain) as server:
        assert server.url.startswith("https://")
        assert server.grpc_url.startswith("grpcs://")
        for url in (server.url, server.grpc_url):
            client = serving.Client(url, server.name, ca=str(chain))
            assert client.predict([2.0]) == [2.0]
            with pytest.raises(ConnectionError):
                serving.Client(url, server.name, retries=0).status()


def test_a_certificate_of_another_key_is_refused_before_anything_is_loaded(
    certificate, tmp_path
):
    key, chain = certificate
    other = tmp_path / "other.pem"
    subprocess.run(
        ["openssl", "genrsa", "-aes256", "-passout", "pass:word", "-out", other],
        check=True,
        capture_output=True,
    )
    for wrong in (other, chain, tmp_path / "none.pem"):
        with pytest.raises(ValueError, match="must be PEM files of a certificate and"):
            serving.start("nowhere", key=wrong, certificate=chain)


def ask_http(server, path):
    try:
        with urllib.request.urlopen(server.url + path, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_prometheus_counts_what_was_answered(running):
    rest, grpc = both(running)
    for client in (rest, grpc, grpc):
        client.predict([1.0, 2.0])
    with pytest.raises(serving.ServingError):
        rest.predict(["text"])
    for path in ("/metrics", "/monitoring/prometheus/metrics"):
        status, text = ask_http(running, path)
        assert status == 200
        lines = text.splitlines()
        one = 'kerasdml_requests_total{method="predict",protocol="rest",status='
        assert one + '"200"} 1.0' in lines
        assert one + '"400"} 1.0' in lines
        one = 'kerasdml_requests_total{method="Predict",protocol="grpc",status="OK"}'
        assert f"{one} 2.0" in lines
        assert 'kerasdml_version_available{version="1"} 1.0' in lines
        assert 'kerasdml_version_loads_total{result="loaded"} 1.0' in lines
        assert "kerasdml_batch_rows_sum 6.0" in lines
        assert "kerasdml_predictions_in_flight 0.0" in lines


def test_a_bad_option_is_refused_before_anything_is_loaded():
    for option, message in [
        ({"versions": "newest"}, "`versions` must be 'latest', 'latest:N', 'all' or"),
        ({"versions": []}, "`versions` must be 'latest'"),
        ({"poll": 0}, "`poll` must be positive. Received: poll=0"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        ({"batch_wait": -1}, "`batch_wait` must be at least 0"),
        ({"batch_threads": 0}, "`batch_threads` must be at least 1"),
        ({"token": ""}, "`token` must be a word"),
        ({"certificate": "a.pem"}, "`certificate` and `key` must be given together"),
    ]:
        with pytest.raises(ValueError, match=message):
            serving.start("nowhere", **option)


def test_a_grpc_port_that_is_taken_is_told(home, running):
    port = int(running.grpc_url.rpartition(":")[2])
    with pytest.raises(OSError, match=f"Cannot listen on port {port} of .* for gRPC"):
        serving.start(home, grpc_port=port)


def test_what_is_served_reads_no_file_that_a_request_names(running, home):
    secret = pathlib.Path(home).parent / "secret"
    secret.write_text(json.dumps({"error": "read"}))
    for path in (
        "/v1/models/../secret",
        "/v1/models/..%2Fsecret",
        "/v1/models/%2e%2e/metadata",
        "/v1/models/model/labels/..%2F..%2Fsecret",
        "/v1/models/model/versions/..%2F..%2Fsecret",
        "/v1/models/model/versions/" + "9" * 5000,
    ):
        status, text = ask_http(running, path)
        assert status in (400, 404) and '"read"' not in text
