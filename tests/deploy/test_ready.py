"""The probe, run by bash against statuses as TensorFlow Serving writes them."""

import contextlib
import http.server
import os
import pathlib
import subprocess
import threading

import pytest

from kerasdml import deploy

SCRIPT = pathlib.Path(deploy.__file__).parent / "templates/ready.sh"


def status(*states):
    """The body of GET /v1/models/NAME in the REST documentation of TF Serving."""
    versions = ",".join(
        f'\n  {{\n   "version": "{number}",\n   "state": "{state}",\n   "status": {{\n'
        '    "error_code": "OK",\n    "error_message": ""\n   }\n  }'
        for number, state in enumerate(states, start=1)
    )
    return f'{{\n "model_version_status": [{versions}\n ]\n}}\n'


@contextlib.contextmanager
def answering(bodies):
    """A server with a body for each model, else 404; gives its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = bodies.get(self.path.removeprefix("/v1/models/"))
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write((body or '{"error": "Could not find it"}').encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def is_ready(port, *names):
    environment = os.environ | {"REST_PORT": str(port)}
    words = ["bash", SCRIPT, *names]
    done = subprocess.run(words, env=environment, capture_output=True, timeout=20)
    return done.returncode == 0


@pytest.mark.parametrize(
    "states, ready",
    [
        (["AVAILABLE"], True),
        (["AVAILABLE", "LOADING"], True),
        (["LOADING"], False),
        (["END", "START"], False),
        ([], False),
    ],
)
def test_a_model_is_ready_when_a_version_is_available(states, ready):
    with answering({"birds": status(*states)}) as port:
        assert is_ready(port, "birds") == ready


def test_every_model_must_be_ready():
    bodies = {"birds": status("AVAILABLE"), "fish": status("LOADING")}
    with answering(bodies) as port:
        assert not is_ready(port, "birds", "fish")
        assert not is_ready(port, "birds", "cats")
        assert is_ready(port, "birds", "birds")
    assert not is_ready(port, "birds"), "nobody listens"
