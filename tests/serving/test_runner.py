"""Starting and stopping the server."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from concurrent import futures

import numpy as np
import pytest
from tensorflow.core.protobuf import saved_model_pb2

from kerasdml import serving
from kerasdml.serving import runner
from kerasdml.serving.model import ServedModel
from kerasdml.serving.runner import _example
from kerasdml.serving.versions import latest


@pytest.fixture
def run():
    """Runs code in a Python of its own, which is ended with the test."""
    processes = []

    def start(code, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_serve_prints_where_it_is_and_stops_when_told(run, saved_model, paint, how):
    code = """
        import sys, kerasdml
        kerasdml.serving.serve(sys.argv[1], port=0, name="painted", grpc_port=0)
        print("stopped")
    """
    process = run(code, saved_model)
    where, example = process.stdout.readline(), process.stdout.readline()
    url = re.search(r"version 3 at (http://127.0.0.1:\d+)/v1/models/painted", where)[1]
    found = serving.Client(url, "painted").search([paint((255, 0, 0))])
    assert found[0][0].id == "rot"
    assert f"curl -d @- {url}/v1/models/painted:predict" in example

    process.send_signal(how)
    rest, errors = process.communicate(timeout=120)
    assert (rest, process.returncode) == ("stopped\n", 0)
    assert "Traceback" not in errors


def test_a_server_killed_while_a_version_comes_starts_with_it(
    run, saved_model, paint, tmp_path
):
    code = """
        import os, signal, sys
        import kerasdml
        from kerasdml.serving import service

        warm = service.warm
        def warm_or_die(model):
            if model.version == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            warm(model)
        service.warm = warm_or_die
        kerasdml.serving.serve(sys.argv[1], port=0, grpc_port=0, poll=0.05)
    """
    home = tmp_path / "colours"
    shutil.copytree(saved_model, home)
    process = run(code, home)
    assert "version 3 at" in process.stdout.readline()
    shutil.copytree(home / "3", tmp_path / "draft")
    (tmp_path / "draft").rename(home / "4")
    assert process.wait(timeout=120) == -signal.SIGKILL
    with serving.start(home) as server:
        client = serving.Client(server.url, server.name)
        (told,) = client.status()["model_version_status"]
        assert (told["version"], told["state"]) == ("4", "AVAILABLE")
        assert client.search([paint((255, 0, 0))])[0][0].id == "rot"
    assert sorted(entry.name for entry in home.iterdir()) == ["3", "4"]


def test_the_printed_example_works(server, saved_model, tmp_path, paint):
    model = ServedModel(latest(saved_model))
    example = _example(model.signatures, f"{server.url}/v1/models/colours")
    (tmp_path / "IMAGE").write_bytes(paint((255, 0, 0)))
    done = subprocess.run(
        example.removeprefix("Try: "),
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert '"rot"' in done.stdout


def test_stop_frees_the_port_and_may_be_called_again(saved_model):
    with serving.start(saved_model, name="once") as server:
        assert server.name == "once"
        assert serving.Client(server.url, "once").status()
        port = int(server.url.rpartition(":")[2])
    server.stop()
    with pytest.raises(ConnectionError, match="cannot be reached"):
        serving.Client(server.url, "once").status()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))


def test_small_answers_are_not_kept_back(server):
    # Forty milliseconds each, if the server waits for acknowledgements.
    with serving.Client(server.url, server.name) as client:
        client.status()
        seconds = []
        for _ in range(30):
            start = time.perf_counter()
            client.status()
            seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.03


def test_says_that_a_port_is_taken(server, saved_model):
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(OSError, match=f"Cannot listen on port {port} of 127.0.0.1"):
        serving.start(saved_model, port=port)


def test_a_model_that_does_not_load_leaves_no_server(tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    # The error that is kept keeps its frames, and so the socket, if nobody closes it.
    with pytest.raises(FileNotFoundError, match="must hold a SavedModel") as kept:
        serving.start(tmp_path, port=port)
    assert kept
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))


@pytest.mark.parametrize(
    "package, needs",
    [
        ("starlette", "The local server needs starlette and uvicorn"),
        ("uvicorn", "The local server needs starlette and uvicorn"),
        ("prometheus_client", "The local server needs prometheus-client"),
        ("grpc", "gRPC needs grpcio"),
    ],
)
def test_names_the_extra_to_install(run, saved_model, package, needs):
    code = """
        import sys
        sys.modules[sys.argv[1]] = None
        import kerasdml
        kerasdml.serving.serve(sys.argv[2])
    """
    _, errors = run(code, package, saved_model).communicate(timeout=120)
    assert f"ImportError: {needs}" in errors
    assert "pip install kerasdml[serve]" in errors


def test_a_scann_model_without_scann_says_what_to_install(tmp_path, monkeypatch):
    model = saved_model_pb2.SavedModel()
    function = model.meta_graphs.add().graph_def.library.function.add()
    function.node_def.add(op="Scann>ScannSearchBatched", name="search")
    (tmp_path / "1").mkdir()
    (tmp_path / "1/saved_model.pb").write_bytes(model.SerializeToString())
    for name in [name for name in sys.modules if name.partition(".")[0] == "scann"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "scann", None)
    with pytest.raises(ImportError, match="pip install scann==1.4.2.*`index.Exact`"):
        serving.start(tmp_path)


@pytest.mark.scann
def test_the_ops_of_scann_are_loaded_on_demand(run, tmp_path):
    pytest.importorskip("scann")
    export = """
        import sys, numpy as np, tensorflow as tf
        from scann import scann_ops

        class Index(tf.Module):
            def __init__(self, vectors):
                builder = scann_ops.builder(vectors, 2, "dot_product")
                searcher = builder.score_brute_force().build()
                self.state = searcher.serialize_to_module()

            @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float32)])
            def search_embeddings(self, embeddings):
                searcher = scann_ops.searcher_from_module(self.state)
                positions, scores = searcher.search_batched(embeddings)
                return {"ids": positions, "scores": scores}

        index = Index(np.eye(4, dtype="float32"))
        signatures = {"search_embeddings": index.search_embeddings}
        tf.saved_model.save(index, sys.argv[1] + "/1", signatures=signatures)
    """
    serve = """
        import sys, kerasdml
        with kerasdml.serving.start(sys.argv[1], name="index") as server:
            client = kerasdml.serving.Client(server.url, "index")
            query = {"inputs": [[0, 0, 1, 0]], "signature_name": "search_embeddings"}
            print(client.predict(**query)["ids"][0][0])
    """
    _, errors = run(export, tmp_path).communicate(timeout=120)
    assert (tmp_path / "1/saved_model.pb").exists(), errors
    output, errors = run(serve, tmp_path).communicate(timeout=120)
    assert output == "2\n", errors


def test_stop_waits_for_answers_under_way(saved_model, monkeypatch):
    arrived = threading.Event()

    def slow(*_):
        arrived.set()
        time.sleep(0.4)
        return {"y": np.ones(1)}

    with futures.ThreadPoolExecutor() as pool, serving.start(saved_model) as server:
        monkeypatch.setattr(ServedModel, "run", slow)
        client = serving.Client(server.url, server.name)
        answer = pool.submit(client.predict, [1.0], signature_name="half_plus_three")
        assert arrived.wait(10)
        server.stop()
        assert answer.result() == [1.0]


def test_stop_gives_up_on_a_model_that_hangs(saved_model, monkeypatch):
    arrived, hang = threading.Semaphore(0), threading.Event()

    def hanging(*_):
        arrived.release()
        hang.wait(100)
        return {"y": np.ones(1)}

    monkeypatch.setattr(runner, "GRACE", 0.2)
    with futures.ThreadPoolExecutor() as pool:
        server = serving.start(saved_model, batch_threads=2)
        monkeypatch.setattr(ServedModel, "run", hanging)
        asked = []
        for url in (server.url, server.grpc_url):
            client = serving.Client(url, server.name, timeout=90, retries=0)
            asked.append(pool.submit(client.predict, [1], signature_name="pick"))
        for _ in asked:
            assert arrived.acquire(timeout=30)
        start = time.monotonic()
        server.stop()
        assert time.monotonic() - start < 30
        hang.set()
        for future in asked:
            with pytest.raises((ConnectionError, serving.ServingError)):
                future.result(60)


def test_listens_on_ipv6(saved_model):
    try:
        server = serving.start(saved_model, host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with server:
        assert serving.Client(server.url, "colours").status()
