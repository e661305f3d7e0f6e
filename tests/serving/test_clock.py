"""A clock that is set, forward and back: nothing that waits, or decides, reads it.

Over REST alone: gRPC's own library hands Python's time to C, whose clock is not set.
"""

import contextlib
import shutil
import socket
import threading
import time

import numpy as np
import pytest

from kerasdml import index, serving
from kerasdml.index import files
from tests.serving.half_plus_two import write_version

DAY = 86400


@pytest.fixture
def jumping(monkeypatch):
    """The clock goes a day ahead and a day back in turn, 50 times a second."""
    now, ahead, stop = time.time, [0], threading.Event()
    monkeypatch.setattr(time, "time", lambda: now() + ahead[0])
    monkeypatch.setattr(time, "time_ns", lambda: int(time.time() * 1e9))

    def jump():
        while not stop.wait(0.01):
            ahead[0] = DAY if ahead[0] <= 0 else -DAY

    thread = threading.Thread(target=jump)
    thread.start()
    yield
    stop.set()
    thread.join()


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.usefixtures("jumping")
def test_a_server_answers_and_swaps_versions(tmp_path):
    home = tmp_path / "model"
    write_version(home / "1", 1.0)
    write_version(tmp_path / "2", 2.0)
    # Requests wait for others, and the directory is looked at again and again.
    options = {"poll": 0.05, "batch_wait": 0.02, "timeout": 30, "grpc_port": None}
    with serving.start(home, **options) as server:
        client = serving.Client(server.url, server.name, timeout=30, retries=0)
        for _ in range(50):
            assert client.predict([2.0]) == [2.0]
        (tmp_path / "2").rename(home / "2")
        until(lambda: client.predict([2.0]) == [3.0])
        shutil.rmtree(home / "2")
        until(lambda: client.predict([2.0]) == [2.0])


@contextlib.contextmanager
def takes_at_most(seconds):
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


@pytest.mark.usefixtures("jumping")
def test_a_client_waits_and_tries_again_for_as_long_as_it_says():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with takes_at_most(20), pytest.raises(TimeoutError, match="within 0.5 sec"):
            serving.Client(url, "model", timeout=0.5).status()
        shards = serving.ShardedClient([serving.Client(url, "model")], timeout=0.5)
        with takes_at_most(20), pytest.raises(TimeoutError):
            shards.search_embeddings([[1.0]])
    with takes_at_most(20), pytest.raises(ConnectionError):
        # Nobody listens any more, so it pauses, and tries again.
        serving.Client(url, "model", timeout=30, retries=2).status()


@pytest.mark.usefixtures("jumping")
def test_an_index_is_written_version_after_version(tmp_path):
    made = index.Exact.build(np.eye(3))
    for new in range(1, 6):
        made.save(tmp_path)
        assert index.versions(tmp_path) == list(range(1, new + 1))
        assert index.load(tmp_path).size == new + 2
        made.add(np.ones((1, 3)), [made.size])
        # The lock has no age at which it would be broken, or kept.
        with files.only_writer(tmp_path), pytest.raises(BlockingIOError):
            made.save(tmp_path)
