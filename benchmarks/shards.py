"""What a shard of a collection takes, measured, and what all shards of it would take.

    python benchmarks/shards.py --shards 1000000x128 4000000x128 --vectors 1e9

Of each size a ScaNN index is built (recall@10 of at least 0.95 on held-out queries),
exported, and served by `kerasdml serve` in a process of its own, on all cores. One
client asks for one query after the other by gRPC, then eight clients at once. Then a
`ShardedClient` asks as many shards as `--fan-outs` says, all of them one small model on
one server, of which the time of the client's process counts.

Columns: CPU seconds to build and tune; megabytes on disk and of the server's process;
seconds to start and load; latency of one client; CPU milliseconds of the server for a
query of one and of eight clients; queries a second of eight.

The plan is arithmetic on these: every query goes to all shards. The latency of a search
over all is the largest of as many as there are shards, drawn from those measured, and
the client's CPU time. `--qps`, `--replicas`, `--machine` (cores x gigabytes) and
`--price` (of a machine, an hour) are yours. `--csv` adds rows to a file.
"""

import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from concurrent import futures

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import search
import serving

from kerasdml.serving import Client, ShardedClient

# Of a machine's memory and time; the rest is for the system, for peaks and failures.
USABLE = 0.7


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shards", nargs="+", default=["1000000x128"], metavar="NxD")
    parser.add_argument("--vectors", type=float, default=1e9, help="to plan for")
    parser.add_argument("--seconds", type=float, default=30, help="of each asking")
    parser.add_argument("--fan-outs", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--qps", type=float, default=1000, help="to plan for")
    parser.add_argument("--replicas", type=int, default=2, help="of each shard")
    parser.add_argument("--machine", default="16x128", help="cores x gigabytes")
    parser.add_argument("--price", type=float, default=1.0, help="of a machine-hour")
    parser.add_argument("--csv", type=pathlib.Path, help="file to add the rows to")
    args = parser.parse_args()
    client_ms = measured_fan_outs(args.fan_outs, args.seconds / 3)
    print(f"CPU milliseconds of a client by its shards: {client_ms}", flush=True)
    for size in args.shards:
        shard, latencies = measured_shard(size, args.seconds)
        row = {"shard": size, **shard, **plan(shard, latencies, client_ms, size, args)}
        print("  ".join(f"{name}: {value}" for name, value in row.items()), flush=True)
        if args.csv:
            search.add(row, args.csv)


def measured_shard(size, seconds):
    """What one shard took, and latencies in milliseconds of one client's queries."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        search.make_data(folder, size)
        shard = child("build", folder)
        start = time.perf_counter()
        with serving.Server(folder / "served") as server:
            shard["load_s"] = round(time.perf_counter() - start, 1)
            alone = asked(server, folder, 1, seconds)
            together = asked(server, folder, 8, seconds)
            shard["server_mb"] = server.megabytes()
    p50, p99 = np.percentile(alone["ms"], [50, 99]).round(2).tolist()
    shard |= {"p50_ms": p50, "p99_ms": p99, "cpu_ms_of_1": alone["cpu_ms"]}
    shard |= {"cpu_ms_of_8": together["cpu_ms"]}
    shard["qps_of_8"] = round(len(together["ms"]) / seconds, 1)
    return shard, np.array(alone["ms"])


def asked(server, folder, clients, seconds):
    """Latencies of queries, and the CPU milliseconds that each took the server."""
    before = cpu_seconds(server.pid)
    latencies = child("ask", server.urls["grpc"], folder, clients, seconds)
    spent = cpu_seconds(server.pid) - before
    return {"ms": latencies, "cpu_ms": round(1e3 * spent / len(latencies), 3)}


def measured_fan_outs(counts, seconds):
    """CPU milliseconds of a client for one search, by the number of its shards."""
    with tempfile.TemporaryDirectory() as folder:
        serving.export_apart(folder, 1000)
        with serving.Server(pathlib.Path(folder) / "served") as server:
            url = server.urls["grpc"]
            return {count: child("fan_out", url, count, seconds) for count in counts}


def plan(shard, latencies, client_ms, size, args):
    """Shards, machines, price and latency of all vectors."""
    cores, gigabytes = map(int, args.machine.split("x"))
    shards = math.ceil(args.vectors / int(size.partition("x")[0]))
    memory = shards * shard["server_mb"] / 1024
    busy = args.qps * shards * shard["cpu_ms_of_8"] / 1e3
    machines = math.ceil(max(args.replicas * memory / gigabytes, busy / cores) / USABLE)
    rng = np.random.default_rng(0)
    slowest = [rng.choice(latencies, shards).max() for _ in range(2000)]
    # Of any number of shards, from those that were measured.
    client = np.polyval(np.polyfit(*zip(*client_ms.items(), strict=True), 1), shards)
    p50, p99 = np.percentile(slowest, [50, 99]) + client
    return {
        "vectors": f"{args.vectors:.0e}",
        "shards": shards,
        "memory_gb": round(memory),
        "disk_gb": round(shards * shard["disk_mb"] / 1024),
        "build_core_hours": round(shards * shard["build_cpu_s"] / 3600, 1),
        "busy_cores": round(busy),
        "machines": machines,
        "price_hour": round(machines * args.price, 2),
        "client_ms": round(float(client), 1),
        "client_cores": round(args.qps * float(client) / 1e3),
        "all_p50_ms": round(float(p50), 1),
        "all_p99_ms": round(float(p99), 1),
    }


def build(folder):
    """Writes `folder`/served/1: a model with a tuned ScaNN index."""
    from kerasdml import index

    gallery = np.load(f"{folder}/gallery.npy")
    queries = np.load(f"{folder}/queries.npy")
    start = time.process_time()
    made = index.Scann.build(gallery)
    report = made.tune(search.TARGET, queries, k=search.K)
    spent = time.process_time() - start
    serving.export(pathlib.Path(folder), made)
    files = list(pathlib.Path(folder, "served").rglob("*"))
    return {
        "recall": round(report["recall"], 4),
        "leaves": f"{made.leaves_to_search} of {made.leaves}",
        "reorder": made.reorder,
        "build_cpu_s": round(spent, 1),
        "disk_mb": round(sum(f.stat().st_size for f in files) / 2**20),
    }


def ask(url, folder, clients, seconds):
    """Latencies in milliseconds of clients that ask without a pause."""
    queries = np.load(f"{folder}/queries.npy")
    client = Client(url, "served", retries=0)

    def ask_from(first):
        found, end = [], time.monotonic() + float(seconds)
        while (start := time.monotonic()) < end:
            row = (first + len(found)) % len(queries)
            client.search_embeddings(queries[row : row + 1])
            found.append(round(1e3 * (time.monotonic() - start), 4))
        return found

    ask_from_start = [100 * i for i in range(int(clients))]
    client.search_embeddings(queries[:1])
    with futures.ThreadPoolExecutor(int(clients)) as pool:
        return [ms for each in pool.map(ask_from, ask_from_start) for ms in each]


def fan_out(url, count, seconds):
    """CPU milliseconds of this process for a search of one query over shards."""
    query = np.ones((1, serving.DIM), "float32")
    parts = [Client(url, "served") for _ in range(int(count))]
    with ShardedClient(parts, timeout=60) as client:
        client.search_embeddings(query)
        calls, end = 0, time.monotonic() + float(seconds)
        start = time.process_time()
        while time.monotonic() < end:
            client.search_embeddings(query)
            calls += 1
        return round(1e3 * (time.process_time() - start) / calls, 3)


def child(name, *words):
    """What a function of this file gives in a process of its own."""
    command = [sys.executable, __file__, name, *map(str, words)]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(run.stdout.splitlines()[-1])


def cpu_seconds(pid):
    """User and system time of a process so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    steps = {"build": build, "ask": ask, "fan_out": fan_out}
    if sys.argv[1:2] and sys.argv[1] in steps:
        print(json.dumps(steps[sys.argv[1]](*sys.argv[2:])))
    else:
        main()
