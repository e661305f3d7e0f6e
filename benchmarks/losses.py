"""Time and memory of one step of every loss, beside the bare matrix product's.

A step is a loss and its gradient, in a compiled graph. The bare product, forward and
backward, is `s = e @ e.T` and the gradient of `sum(s ** 2) / 2`; of losses of proxies,
not pairs, it is that of `s = e @ p.T`. A ratio is the median over rounds in which the
two take turns. Memory is what a step adds to the resident set of a process of its own,
at its highest, in float32 arrays of the size of the similarities: batch x batch, or
batch x proxies.

    python benchmarks/losses.py
    python benchmarks/losses.py --quick
    python benchmarks/losses.py --sizes 8192 --rounds 1 --no-memory
    python benchmarks/losses.py --dims 512 --layouts unequal --sizes 1024 --no-memory
    python benchmarks/losses.py --classes 100000 --sizes 1024 --rounds 2 --no-memory
    python benchmarks/losses.py --csv benchmarks/results/losses.csv
    python benchmarks/losses.py --csv benchmarks/results/losses.csv --table

`--csv` adds rows to the file and skips those that are there, so that it can go on in
pieces. `benchmarks/peers.py` compares with other libraries.
"""

import argparse
import csv
import datetime
import inspect
import itertools
import os
import pathlib
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import row_files
import tensorflow as tf

import kerasdml
import kerasdml.step
from kerasdml import losses, miners

PER_CLASS = 4
PROXIES = 1000
# Forms of a loss that differ in what they compute; of others, the default.
FORMS = {
    "Triplet": {x: {"negatives": x} for x in ("all", "semi_hard", "hard")},
    "MultiSimilarity": {"": {}, "mined": {"miner": miners.MultiSimilarity()}},
    "NPairs": {x: {"mode": x} for x in ("mc", "ovo")},
    "Margin": {"": {}, "sampled": {"miner": miners.DistanceWeighted()}},
    "Contrastive": {
        "": {},
        **{
            x: {"similarity": x, "margin": -0.5, "positive_margin": -0.1}
            for x in ("manhattan", "signal_to_noise", "hyperbolic")
        },
    },
}
# Made of other losses, or of more than a batch: see `benchmarks/methods.py`.
ELSEWHERE = (
    *("DenoisingMultiSimilarity", "DistancePreserving", "DiverseEnsemble", "Ensemble"),
    *("HIER", "ProxySynthesis", "RelationalDistillation", "Sum"),
)
# Losses whose rows are sorted, or gone through once a positive.
SORTED = ("Triplet", "AP", "Recall", "RankedList", "Histogram", "PNP", "Quadruplet")
DIM = 128
SECONDS_A_TURN = 0.1
MEMORY_SIZE = 4096
# What no limit holds for, and why.
EXEMPT = {
    "Manifold": "solves as many equations as the batch and the classes are together",
    "Contrastive manhattan": "its distances are no matrix product",
}
MOST_ARRAYS = 8  # that a loss may hold at once
MOST_TIMES, MOST_TIMES_SORTED = 5, 15  # the product, from SIZE_THAT_COUNTS on
SIZE_THAT_COUNTS = 1024
# Plain malloc with a system call for every large array, so that the resident set is
# what is alive: TensorFlow's oneDNN allocator and malloc's heap keep what was freed.
PLAIN_MALLOC = {"TF_ENABLE_ONEDNN_OPTS": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 1024, 4096])
    parser.add_argument("--dims", type=int, nargs="+", default=[128])
    parser.add_argument(
        "--layouts", nargs="+", choices=LAYOUTS, default=["four of each"]
    )
    parser.add_argument("--only", nargs="+", help="names of losses")
    parser.add_argument(
        "--classes", type=int, help="of losses with proxies, only these losses then"
    )
    parser.add_argument("--rounds", type=int, default=7, help="turns of each loss")
    parser.add_argument("--jit", action="store_true", help="compile with XLA")
    parser.add_argument("--quick", action="store_true", help="one size, no memory")
    parser.add_argument("--no-memory", action="store_true", help="time only")
    parser.add_argument("--csv", type=pathlib.Path, help="file to add the rows to")
    parser.add_argument("--table", action="store_true", help="print the file's rows")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.table:
        print_table(args.csv)
        return
    if args.memory_of:
        print(peak_memory(each_loss(args.classes)[args.memory_of], args.jit))
        return
    if args.quick:
        args.sizes, args.rounds, args.no_memory = [256], 3, True
    there = rows_in(args.csv)
    names = list(each_loss(args.classes))
    names = [x for x in names if not args.only or x.split()[0] in args.only]
    failed = []
    for size, dim, layout in itertools.product(args.sizes, args.dims, args.layouts):
        for name in names:
            what = {"loss": name, "batch": size, "dim": dim, "layout": layout}
            if key_of(what) in there:
                continue
            try:
                loss = each_loss(args.classes)[name]  # of no size yet
                row = what | time_one(loss, args.rounds, args.jit, **what)
            except ValueError as error:  # such as Manifold's, of large batches
                print(f"{name} batch {size}: {error}")
                continue
            failed += too_slow(row)
            if args.csv:
                add(row, args.csv, "xla" if args.jit else "graph")
    for name in [] if args.no_memory else [x for x in names if x not in EXEMPT]:
        what = {"loss": name, "batch": MEMORY_SIZE, "dim": DIM, "layout": "memory"}
        if key_of(what) in there:
            continue
        row = what | {"arrays": memory_of(name, args.jit, args.classes)}
        failed += [row] if row["arrays"] > MOST_ARRAYS else []
        if args.csv:
            add(row, args.csv, "xla" if args.jit else "graph")
    if failed:
        sys.exit("Beyond the limits: " + "; ".join(map(str, failed)))


def each_loss(classes=None):
    """Returns every public loss not made of others, in each of its forms, by name.

    Of a given number of classes only those that have proxies of them.
    """
    found = {}
    for name in losses.__all__:
        if name in ELSEWHERE:
            continue
        cls = getattr(losses, name)
        parameters = inspect.signature(cls.__init__).parameters
        count = parameters.get("num_classes")
        needed = count is not None and count.default is inspect.Parameter.empty
        if classes and not (needed and issubclass(cls, losses.ProxyLoss)):
            continue
        common = {"num_classes": classes or PROXIES} if needed else {}
        for form, arguments in FORMS.get(name, {"": {}}).items():
            form = f"{form} {classes} classes" if classes else form
            found[f"{name} {form}".strip()] = cls(**common, **arguments)
    return found


def too_slow(row):
    most = MOST_TIMES
    if any(part in row["loss"] for part in SORTED):
        most = MOST_TIMES_SORTED
    slow = row["batch"] >= SIZE_THAT_COUNTS and row["times_the_product"] > most
    return [row] if slow and row["loss"] not in EXEMPT else []


def time_one(object_, rounds, jit, *, loss, batch, dim, layout):
    """Returns the time of a step, beside that of its product."""
    drawn = draw(batch, object_, dim, layout)
    steps = loss_step(object_, jit, dim), product_step(object_, jit)
    calls = [calls_a_turn(step, drawn) for step in steps]
    turns = [
        [seconds(*x, drawn) for x in zip(steps, calls, strict=True)]
        for _ in range(rounds)
    ]
    ratio = statistics.median(ours / bare for ours, bare in turns)
    ours, bare = (1e3 * min(times) for times in zip(*turns, strict=True))
    print(
        f"{loss:28s} batch {batch:5d} × {dim}, {layout}: {ratio:6.2f} times the "
        f"product ({ours:.2f} ms / {bare:.2f} ms)",
        flush=True,
    )
    return {"times_the_product": round(ratio, 2), "milliseconds": round(ours, 3)}


def memory_of(name, jit, classes):
    """Returns the peak of a step in arrays, measured in a process of its own."""
    loss = each_loss(classes)[name]
    loss.build(DIM)
    columns = columns_of(loss, MEMORY_SIZE)
    command = [sys.executable, __file__, "--memory-of", name]
    command += ["--classes", str(classes)] if classes else []
    output = subprocess.run(
        command + ["--jit"] * jit,
        env={**os.environ, **PLAIN_MALLOC},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    arrays = float(output) / (4 * MEMORY_SIZE * columns)
    print(
        f"{name:28s} batch {MEMORY_SIZE:5d}: {arrays:6.2f} arrays at its peak",
        flush=True,
    )
    return round(arrays, 2)


def columns_of(loss, size):
    """How many references, or proxies, a loss compares an anchor with."""
    points = points_of(loss)
    return points[-1].shape[0] if points and is_proxied(loss) else size


def is_proxied(loss):
    # A loss of pairs that has proxies, DynamicProxyNCA, compares the batch's labels.
    return hasattr(loss, "proxies") and not isinstance(loss, losses.PairLoss)


LAYOUTS = {
    "four of each": lambda size: np.repeat(np.arange(size // PER_CLASS), PER_CLASS),
    # Classes of 2 to 30, most of them small.
    "unequal": lambda size: np.repeat(
        np.arange(size), np.random.default_rng(1).geometric(0.2, size).clip(2, 30)
    )[:size],
}


def draw(size, loss, dim=DIM, layout="four of each"):
    """Draws labels and unit vectors: clouds that overlap a little."""
    rng = np.random.default_rng(0)
    labels = LAYOUTS[layout](size)
    if getattr(loss, "num_classes", None):
        labels %= loss.num_classes
    centres = rng.normal(size=(labels.max() + 1, dim))
    embeddings = centres[labels] + 2.0 * rng.normal(size=(size, dim))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return tf.constant(labels), tf.constant(embeddings, "float32")


def points_of(loss):
    return [
        weight.value
        for layer in loss.layers
        for weight in layer.trainable_weights
        if len(weight.shape) == 2
    ]


def loss_step(loss, jit, dim=DIM):
    """Compiles `labels, embeddings` → the loss and its gradients."""
    loss.build(dim)
    trained = [w.value for layer in loss.layers for w in layer.trainable_weights]

    @tf.function(jit_compile=jit)
    def step(labels, embeddings):
        rows = tf.range(tf.shape(labels)[0])
        fields = {"index": rows, "modality": rows % 2}
        with tf.GradientTape() as tape, kerasdml.step.step.of(fields, training=True):
            tape.watch(embeddings)
            value = loss(labels, embeddings)
        return value, tape.gradient(value, [embeddings, *trained])

    return step


def product_step(loss, jit):
    """Compiles the product that no loss can do without, and its gradients."""
    points = points_of(loss) if is_proxied(loss) else []

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


MEASURED = ("times_the_product", "milliseconds", "arrays")


def key_of(row):
    return tuple(str(row[name]) for name in ("loss", "batch", "dim", "layout"))


def rows_in(path):
    if path is None or not path.exists():
        return set()
    with path.open() as lines:
        return {key_of(row) for row in csv.DictReader(lines)}


def print_table(path):
    """Prints the times of 4 of each class at d = 128, and memory, a loss a row."""
    with path.open() as lines:
        rows = list(csv.DictReader(lines))
    usual = [row for row in rows if row["layout"] == "four of each"]
    usual = [row for row in usual if row["dim"] == str(DIM)]
    sizes = sorted({int(row["batch"]) for row in usual})
    times = {(row["loss"], row["batch"]): row["times_the_product"] for row in usual}
    arrays = {row["loss"]: row["arrays"] for row in rows if row["layout"] == "memory"}
    heads = ["loss", *(f"B = {size:,}" for size in sizes), f"arrays at {MEMORY_SIZE:,}"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name in dict.fromkeys(row["loss"] for row in usual):
        cells = [times.get((name, str(size)), "") for size in sizes]
        print(f"| {' | '.join([name, *cells, arrays.get(name, '')])} |")


def add(row, path, compiled):
    run = {
        "compiled": compiled,
        "cores": os.cpu_count(),
        "kerasdml": kerasdml.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "date": datetime.date.today().isoformat(),
    }
    names = ["loss", "batch", "dim", "layout", *MEASURED]
    row_files.add(path, {**dict.fromkeys(names, ""), **row, **run})


if __name__ == "__main__":
    main()
