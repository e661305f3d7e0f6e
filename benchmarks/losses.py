"""Time and memory of one step of every loss, beside the bare matrix product's.

A step is a loss and its gradient, in a compiled graph. The bare product, forward and
backward, is `s = e @ e.T` and the gradient of `sum(s ** 2) / 2`; of losses with proxies
it is that of `s = e @ p.T`. A ratio is the median over rounds in which the two take
turns. Memory is what a step adds to the resident set of a process of its own, at its
highest, in float32 arrays of the size of the similarities: batch x batch, or batch x
proxies.

    python benchmarks/losses.py
    python benchmarks/losses.py --quick
    python benchmarks/losses.py --csv benchmarks/results/losses.csv
"""

import argparse
import csv
import datetime
import os
import pathlib
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import kerasdml
from kerasdml import losses, miners

DIM = 128
PER_CLASS = 4
PROXIES = 1000
# Forms of a loss that differ in what they compute; of others, the default.
FORMS = {
    "Triplet": {x: {"negatives": x} for x in ("all", "semi_hard", "hard")},
    "MultiSimilarity": {"": {}, "mined": {"miner": miners.MultiSimilarity()}},
    **{
        x: {"": {"num_classes": PROXIES}}
        for x in ("ArcFace", "ProxyAnchor", "ProxyNCA")
    },
}
SECONDS_A_TURN = 0.1
MEMORY_SIZE = 4096
MOST_ARRAYS = 8  # that a loss may hold at once
# Plain malloc with a system call for every large array, so that the resident set is
# what is alive: TensorFlow's oneDNN allocator and malloc's heap keep what was freed.
PLAIN_MALLOC = {"TF_ENABLE_ONEDNN_OPTS": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 1024, 4096])
    parser.add_argument("--rounds", type=int, default=7, help="turns of each loss")
    parser.add_argument("--jit", action="store_true", help="compile with XLA")
    parser.add_argument("--quick", action="store_true", help="one size, no memory")
    parser.add_argument("--csv", type=pathlib.Path, help="file to write the rows to")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        print(peak_memory(each_loss()[args.memory_of], args.jit))
        return
    if args.quick:
        args.sizes, args.rounds = [256], 3
    rows = []
    for size in args.sizes:
        rows += time_all(size, args.rounds, args.jit)
    if not args.quick:
        rows += measure_all(args.jit)
    if args.csv:
        write(rows, args.csv, "xla" if args.jit else "graph")
    over = [row["loss"] for row in rows if row.get("arrays", 0) > MOST_ARRAYS]
    if over:
        sys.exit(f"More than {MOST_ARRAYS} arrays: {', '.join(over)}.")


def each_loss():
    """Returns every public loss, in each of its forms, by name."""
    return {
        f"{name} {form}".strip(): getattr(losses, name)(**arguments)
        for name in losses.__all__
        for form, arguments in FORMS.get(name, {"": {}}).items()
    }


def time_all(size, rounds, jit):
    rows = []
    for name, loss in each_loss().items():
        batch = draw(size, loss)
        steps = loss_step(loss, jit), product_step(loss, jit)
        calls = [calls_a_turn(step, batch) for step in steps]
        turns = [
            [seconds(*x, batch) for x in zip(steps, calls, strict=True)]
            for _ in range(rounds)
        ]
        ratio = statistics.median(ours / bare for ours, bare in turns)
        ours, bare = (1e3 * min(times) for times in zip(*turns, strict=True))
        print(
            f"{name:22s} batch {size:5d}: {ratio:6.2f} times the product "
            f"({ours:.2f} ms / {bare:.2f} ms)",
            flush=True,
        )
        rows.append(
            {
                "loss": name,
                "batch": size,
                "times_the_product": round(ratio, 2),
                "milliseconds": round(ours, 3),
            }
        )
    return rows


def measure_all(jit):
    rows = []
    for name, loss in each_loss().items():
        columns = getattr(loss, "num_classes", MEMORY_SIZE)
        command = [sys.executable, __file__, "--memory-of", name]
        output = subprocess.run(
            command + ["--jit"] * jit,
            env={**os.environ, **PLAIN_MALLOC},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        arrays = float(output) / (4 * MEMORY_SIZE * columns)
        print(
            f"{name:22s} batch {MEMORY_SIZE:5d}: {arrays:6.2f} arrays at its peak",
            flush=True,
        )
        rows.append({"loss": name, "batch": MEMORY_SIZE, "arrays": round(arrays, 2)})
    return rows


def draw(size, loss):
    """Draws labels, 4 of a class, and unit vectors: clouds that overlap a little."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(size // PER_CLASS), PER_CLASS)
    if isinstance(loss, losses.base.ProxyLoss):
        labels %= PROXIES
    centres = rng.normal(size=(labels.max() + 1, DIM))
    embeddings = centres[labels] + 2.0 * rng.normal(size=(size, DIM))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return tf.constant(labels), tf.constant(embeddings, "float32")


def loss_step(loss, jit):
    """Compiles `labels, embeddings` → the loss and its gradients."""
    loss.build(DIM)
    points = [weight.value for layer in loss.layers for weight in layer.weights]

    @tf.function(jit_compile=jit)
    def step(labels, embeddings):
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = loss(labels, embeddings)
        return value, tape.gradient(value, [embeddings, *points])

    return step


def product_step(loss, jit):
    """Compiles the product that no loss can do without, and its gradients."""
    points = [weight.value for layer in loss.layers for weight in layer.weights]

    @tf.function(jit_compile=jit)
    def step(labels, embeddings):
        del labels
        sources = [embeddings, *points]
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            s = tf.matmul(sources[0], sources[-1], transpose_b=True)
        return tape.gradient(s, sources, output_gradients=s)

    return step


def calls_a_turn(step, batch):
    """Returns how many calls fill a turn; warms up on the way."""
    step(*batch)
    once = min(seconds(step, 1, batch) for _ in range(3))
    return max(1, round(SECONDS_A_TURN / once))


def seconds(step, calls, batch):
    start = time.perf_counter()
    for _ in range(calls):
        step(*batch)
    return (time.perf_counter() - start) / calls


def peak_memory(loss, jit):
    """Returns the most bytes that a step adds to what a small one needs."""
    step = loss_step(loss, jit)
    # Starts threads and loads kernels; what the graph of the large batch keeps counts.
    step(*draw(64, loss))
    batch = draw(MEMORY_SIZE, loss)
    before = resident("VmRSS")
    step(*batch)
    peaks = []
    for _ in range(5):  # the order in which a graph's operations run is not fixed
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        step(*batch)
        peaks.append(resident("VmHWM"))
    return max(peaks) - before


def resident(field):
    status = pathlib.Path("/proc/self/status").read_text()
    line = next(x for x in status.splitlines() if x.startswith(field))
    return 1024 * int(line.split()[1])


def write(rows, path, compiled):
    merged = {}
    for row in rows:
        merged.setdefault((row["loss"], row["batch"]), {}).update(row)
    run = {
        "compiled": compiled,
        "dim": DIM,
        "cores": os.cpu_count(),
        "kerasdml": kerasdml.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "date": datetime.date.today().isoformat(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ["loss", "batch", "times_the_product", "milliseconds", "arrays", *run]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, **run} for row in merged.values())


if __name__ == "__main__":
    main()
