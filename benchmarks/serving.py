"""Search as search.py measures it, then the local server over loopback.

    python benchmarks/serving.py --csv benchmarks/results/serving.csv \
        --search-csv benchmarks/results/search.csv

`--sizes` are those of search.py; none leave it out. Of the server it tells requests a
second, tail latency, errors and memory: a process of its own answers clients of further
processes, 1, 8 and 64 at once, by REST and by gRPC: one search for one embedding, or
for one small PNG, in an exact index of 60,000 x 128. Then `--minutes` with 8 clients,
in which memory must stay flat and nothing fail; then, with 8 clients still asking, a
second version takes over. Clients and server share the cores, so latency here is that
of a busy machine. Clients do not retry: an error is an error. `--csv` and
`--search-csv` add rows to files.
"""

import argparse
import datetime
import io
import multiprocessing
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import row_files
import search

from kerasdml.serving import Client
from kerasdml.version import __version__

ITEMS, DIM, K = 60_000, 128, 10
CLIENTS = (1, 8, 64)
PROCESSES = 2
TITLES = [
    *["run", "protocol", "request", "clients", "seconds", "requests", "errors"],
    *["a_second", "p50_ms", "p95_ms", "p99_ms", "longest_ms", "megabytes_before"],
    *["megabytes_after", "cores", "kerasdml", "date"],
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10, help="of each short run")
    parser.add_argument("--minutes", type=float, default=5, help="of the long run")
    parser.add_argument("--items", type=int, default=ITEMS, help="of the index")
    parser.add_argument("--csv", type=pathlib.Path, help="file to add the rows to")
    parser.add_argument("--sizes", nargs="*", default=["60000x512", "1000000x128"])
    parser.add_argument("--search-csv", type=pathlib.Path, help="the same of search.py")
    args = parser.parse_args()
    search.run(args.sizes, search.CONTENDERS, args.search_csv)
    with tempfile.TemporaryDirectory() as folder:
        home = pathlib.Path(folder) / "model"
        export_apart(home, args.items)
        with Server(home / "served") as server:
            found = list(measured(server, home, args))
    if args.csv:
        for row in found:
            row_files.add(args.csv, dict(zip(TITLES, row, strict=True)))


def measured(server, home, args):
    print("  ".join(f"{title:>9}" for title in TITLES[:-3]))
    for protocol in ("rest", "grpc"):
        for request in ("embedding", "image"):
            for clients in CLIENTS:
                yield shown("short", server, protocol, request, clients, args.seconds)
    yield shown("long", server, "rest", "embedding", 8, 60 * args.minutes)
    swap = threading.Thread(target=take_over, args=[home, server, args.seconds])
    swap.start()
    yield shown("swap", server, "grpc", "embedding", 8, 3 * args.seconds)
    swap.join()


def shown(run, server, protocol, request, clients, seconds):
    before = server.megabytes()
    watch = threading.Event()
    if run == "long":
        threading.Thread(target=tell_memory, args=[server, watch], daemon=True).start()
    latencies, errors = asked(server.urls[protocol], request, clients, seconds)
    watch.set()
    milliseconds = 1e3 * np.array(latencies or [np.nan])
    row = [run, protocol, request, clients, round(seconds), len(latencies), errors]
    row += [round(len(latencies) / seconds, 1)]
    row += [round(float(np.percentile(milliseconds, q)), 2) for q in (50, 95, 99, 100)]
    row += [before, server.megabytes()]
    print("  ".join(f"{value!s:>9}" for value in row), flush=True)
    today = datetime.date.today().isoformat()
    return [*row, os.cpu_count(), __version__, today]


def asked(url, request, clients, seconds):
    """Latencies in seconds and number of errors of clients that ask without a pause."""
    context = multiprocessing.get_context("fork")
    processes = min(clients, PROCESSES)
    with context.Pool(processes) as pool:
        shares = [clients // processes] * processes
        found = pool.starmap(
            ask_by_threads, [(url, request, share, seconds) for share in shares]
        )
    return [x for latencies, _ in found for x in latencies], sum(e for _, e in found)


def ask_by_threads(url, request, threads, seconds):
    client = Client(url, "served", retries=0)
    call = calls(client)[request]
    call()
    latencies, errors, end = [], [], time.monotonic() + seconds

    def ask():
        while (start := time.monotonic()) < end:
            try:
                call()
            except Exception as error:
                errors.append(error)
            else:
                latencies.append(time.monotonic() - start)

    workers = [threading.Thread(target=ask) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for error in errors[:3]:
        print(f"error: {error}", file=sys.stderr)
    return latencies, len(errors)


def calls(client):
    embedding = np.random.default_rng(0).normal(size=(1, DIM)).astype("float32")
    return {
        "embedding": lambda: client.search_embeddings(embedding),
        "image": lambda: client.search([picture()]),
    }


def picture():
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (48, 48), (90, 160, 30)).save(file, "PNG")
    return file.getvalue()


def take_over(home, server, seconds):
    """Puts version 2 beside version 1 while clients ask, and waits until it serves."""
    time.sleep(seconds)
    start = time.monotonic()
    shutil.copytree(home / "served/1", home / "draft")
    (home / "draft").rename(home / "served/2")
    client = Client(server.urls["rest"], "served")
    while True:
        told = client.status()["model_version_status"]
        states = {one["version"]: one["state"] for one in told}
        if states == {"2": "AVAILABLE", "1": "END"}:
            break
        time.sleep(0.05)
    print(f"version 2 took over after {time.monotonic() - start:.2f} s", flush=True)


def tell_memory(server, stop):
    while not stop.wait(30):
        print(f"memory of the server: {server.megabytes()} MB", flush=True)


class Server:
    """`kerasdml serve` in a process of its own, until the end of the `with`."""

    def __init__(self, path):
        words = ["serve", str(path), "--port", "0", "--grpc-port", "0", "--poll", "0.2"]
        command = [
            sys.executable,
            "-c",
            "from kerasdml.cli import main; main()",
            *words,
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        where = self._process.stdout.readline()
        rest, grpc = re.search(
            r"(http://[\d.:]+)/\S+ and (grpc://[\d.:]+)\.", where
        ).groups()
        self.urls = {"rest": rest, "grpc": grpc}
        self.pid = self._process.pid

    def megabytes(self):
        """Resident memory of the server."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) // 1024

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()


def export_apart(home, items):
    """Writes `home`/served/1 with an exact index of so many items.

    By a process of its own, as clients that are forked must not have TensorFlow.
    """
    command = [sys.executable, __file__, "export", str(home), str(items)]
    subprocess.run(command, check=True)


def export_exact(home, items):
    import kerasdml

    vectors = np.random.default_rng(0).normal(size=(items, DIM)).astype("float32")
    export(home, kerasdml.index.Exact.build(vectors))


def export(home, index):
    """Writes `home`/served/1: a small embedder with an index."""
    import keras

    import kerasdml

    keras.utils.set_random_seed(0)
    embedder = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Conv2D(16, 3, strides=2),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(index.dim),
        ]
    )
    kerasdml.export.saved_model(embedder, home / "served", index=index, k=K)


if __name__ == "__main__":
    if sys.argv[1:2] == ["export"]:
        export_exact(pathlib.Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
