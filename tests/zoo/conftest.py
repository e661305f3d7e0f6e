"""A small zoo in a folder, and a file server that breaks when told to."""

import http.server
import re
import threading

import numpy as np
import pytest

from kerasdml.zoo import Card, Input, cards
from kerasdml.zoo.cards import fingerprint, write_card


class FileServer(http.server.ThreadingHTTPServer):
    """Serves `files` (path to bytes) on a free loopback port.

    `ranges` says whether it honours `Range`, `lengths` whether it names the length of
    a body, `cut` after how many bytes of a body it hangs up. `seen` lists what it was
    asked: `(path, value of the Range header or None)`.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.seen = {}, []
        self.ranges, self.lengths, self.cut = True, True, None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = self.server, self.headers["Range"]
        server.seen.append((self.path, asked))
        if self.path not in server.files:
            return self.send_error(404)
        body, start = server.files[self.path], 0
        if asked and server.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(body):
                return self.send_error(416)
        self.send_response(206 if asked and server.ranges else 200)
        if server.lengths:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        sent = body[start:] if server.cut is None else body[start:][: server.cut]
        self.wfile.write(sent)
        return None

    def log_message(self, *args):
        """Keeps the test's output quiet."""


@pytest.fixture
def server():
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def weights():
    """A megabyte that stands for a file of weights: several chunks long."""
    return np.random.default_rng(0).bytes(1_000_000)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Publishes embedders in a zoo of the test's own; nothing of the real one is left.

    Called as `published(content, **fields)`, it gives the card. The file lies in the
    folder `published.home`, and also in the package if `packaged=True`.
    """
    home, package = tmp_path / "home", tmp_path / "package"
    home.mkdir()
    package.mkdir()
    (package / "cards.json").write_text("{}")
    monkeypatch.setattr(cards, "CARDS", package / "cards.json")
    monkeypatch.setattr(cards, "WEIGHTS", package)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("KERASDML_CACHE", "KERASDML_ZOO"):
        monkeypatch.delenv(name, raising=False)

    def publish(content, *, packaged=False, **fields):
        name = fields.get("name", "tiny.method_data")
        path = home / f"{name}.keras"
        path.write_bytes(content)
        if packaged:
            (package / path.name).write_bytes(content)
        card = a_card(file=path.name, **fingerprint(path), **fields)
        write_card(card)
        return card

    publish.home, publish.package = home, package
    return publish


def a_card(**fields):
    """A card with nothing left out, and `fields` as the test wants them."""
    return Card(
        **{
            "name": "tiny.method_data",
            "description": "Made for a test.",
            "file": "tiny.method_data.keras",
            "sha256": "0" * 64,
            "bytes": 1,
            "architecture": "tiny",
            "dim": 2,
            "input": Input(size=(4, 4), channels=1),
            "similarity": "cosine",
            "metrics": {"data_set": "d", "split": "s", "seeds": 1, "recall_at_1": 0.5},
            "recipe": "zoo/tiny.method_data/train.py",
            "data_licence": "MIT",
            "weights_licence": "Apache-2.0",
            "versions": {"keras": "3.15.1"},
            **fields,
        }
    )
