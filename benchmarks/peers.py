"""Time and memory of losses beside those of other libraries, in one run.

The cases are those of the tests that compare values and gradients with
pytorch-metric-learning (PML) and TensorFlow Addons (TFA): losses of pairs and rankings.
Both get the same batch, 4 of a class, and run on the CPU, forward and backward, taking
turns, each in a process of its own. Values and gradients are compared first. A process
that needs more than `BYTES_AT_MOST` is ended: where a library builds arrays of the cube
of the batch, there is a size it cannot do.

    pip install '.[bench]'
    python benchmarks/peers.py
    python benchmarks/peers.py --sizes 512 --only NTXent
    python benchmarks/peers.py --csv benchmarks/results/peers.csv
    python benchmarks/peers.py --csv benchmarks/results/peers.csv --table

Rows that the file has are skipped, so that it can go on in pieces.
TensorFlow Addons is compared where it is installed (Python 3.11).
"""

import argparse
import contextlib
import csv
import datetime
import importlib.metadata
import importlib.util
import os
import pathlib
import resource
import statistics
import sys
import time
from multiprocessing import get_context

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # for TensorFlow Addons

import numpy as np
import row_files

import kerasdml
from kerasdml import losses

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
MODULES = {"PML": "pytorch_metric_learning", "TFA": "tensorflow_addons"}
DIM, PER_CLASS = 128, 4
SECONDS_A_TURN, SECONDS_AT_MOST = 0.2, 200
BYTES_AT_MOST = 20 * 2**30
AGREE = 1e-3  # relative, of float32 sums of millions of terms
# Of gradients of examples: of two negatives nearer to each other than float32 can tell
# either may be the hardest.
SHARE_THAT_AGREES = 0.95
# The first is equal with as many classes as examples a class, which a benchmark cannot
# have; the second adds to a divisor with each example.
VALUES_DIFFER = ("SmoothAPLoss()", "RankedListLoss(margin=.4, Tn=0, alpha=1.2)")


def cases(library):
    """Returns the cases of a library that suit four examples of each class."""
    if library == "PML":
        from tests.losses import pytorch_metric_learning_cases as module

        found = [*module.PAIRS, *module.RANKINGS]
    else:
        from tests.losses import addons_cases as module

        found = module.CASES
    usual = [case for case in found if "four of each" in case.layouts]
    # Functions are of losses whose labels are those of the tests' batches.
    usual = [case for case in usual if isinstance(case.loss, losses.MetricLoss)]
    return [case for case in usual if not case.loss.layers]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--only", nargs="+", help="names of losses here")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each")
    parser.add_argument("--csv", type=pathlib.Path, help="file to add the rows to")
    parser.add_argument("--table", action="store_true", help="print the file's rows")
    args = parser.parse_args()
    if args.table:
        print_table(args.csv)
        return
    rows, there = [], rows_there(args.csv)
    for library in MODULES:
        if not installed(library):
            print(f"{MODULES[library]} is not installed")
            continue
        for number, case in enumerate(cases(library)):
            if args.only and type(case.loss).__name__ not in args.only:
                continue
            for size in args.sizes:
                if (f"{library} {case}", str(size)) in there:
                    continue
                rows.append(compare(library, number, case, size, args.rounds))
                print(line_of(rows[-1]), flush=True)
                if args.csv:
                    add(rows[-1], args.csv)
    wrong = [row for row in rows if row["agrees"] is False]
    slower = [row for row in rows if row["times_as_fast"] and row["times_as_fast"] < 1]
    if wrong or slower:
        sys.exit("\n".join(["Wrong or slower:", *map(line_of, wrong + slower)]))


def installed(library):
    return importlib.util.find_spec(MODULES[library]) is not None


def compare(library, number, case, size, rounds):
    """Runs both in turns and returns the row of their times."""
    row = {
        "loss": type(case.loss).__name__,
        "theirs": f"{library} {case}",
        "batch": size,
        "agrees": None,
        "times_as_fast": None,
        "our_ms": None,
        "their_ms": None,
        "our_mb": None,
        "their_mb": None,
        "note": "",
    }
    what = library, number, size
    with Worker(our_step, *what) as ours, Worker(their_step, *what) as theirs:
        mine = ours.ask("result")
        its = theirs.ask("result")
        if its is None:
            return row | beyond(ours)
        if str(case) in VALUES_DIFFER:
            row["note"] = "of another value, as docs/migration.md says"
        else:
            row["agrees"] = bool(agree(mine, its))
        once = theirs.ask("once")
        if once is None:
            return row | beyond(ours)
        slow = once > 2.0
        turns = [
            (ours.ask("turn"), theirs.ask("once" if slow else "turn"))
            for _ in range(2 if slow else rounds)
        ]
        if any(its is None for _, its in turns):
            return row | beyond(ours)
        row["times_as_fast"] = round(statistics.median(b / a for a, b in turns), 2)
        row["our_ms"], row["their_ms"] = (
            round(1e3 * min(times), 2) for times in zip(*turns, strict=True)
        )
        row["our_mb"], row["their_mb"] = (
            round(worker.ask("memory") / 2**20) for worker in (ours, theirs)
        )
    return row


def beyond(ours):
    """Returns what a row says where the other library came to no end."""
    return {
        "our_ms": round(1e3 * min(ours.ask("turn") for _ in range(3)), 2),
        "note": f"theirs needs more than {BYTES_AT_MOST >> 30} GiB or "
        f"{SECONDS_AT_MOST} s",
    }


def agree(mine, its):
    scale = max(abs(float(its[0])), 1e-6)
    slope = np.abs(its[1]).max()
    rows = np.abs(mine[1] - its[1]).max(axis=1) <= 10 * AGREE * slope
    return abs(mine[0] - its[0]) <= AGREE * scale and rows.mean() >= SHARE_THAT_AGREES


def line_of(row):
    text = f"{row['loss']} beside {row['theirs']}, batch {row['batch']}: "
    if row["times_as_fast"] is None:
        return f"{text}{row['note']}; ours {row['our_ms']} ms"
    note = "VALUES DIFFER" if row["agrees"] is False else row["note"]
    return (
        f"{text}{row['times_as_fast']:.1f} times as fast "
        f"({row['our_ms']} ms, {row['our_mb']} MB / {row['their_ms']} ms, "
        f"{row['their_mb']} MB) {note}"
    ).rstrip()


class Worker:
    """A step in a process of its own, so that its end is not ours."""

    def __init__(self, *what):
        context = get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=serve, args=(there, *what))

    def __enter__(self):
        self._process.start()
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.join()

    def ask(self, what):
        """Returns the answer, or `None` if there is none in time."""
        self._pipe.send(what)
        until = time.time() + SECONDS_AT_MOST
        while time.time() < until and self._process.is_alive():
            if self._pipe.poll(0.01):
                with contextlib.suppress(EOFError, ConnectionResetError):
                    return self._pipe.recv()
        return None


def serve(pipe, make, library, number, size):
    """Answers until it is killed."""
    resource.setrlimit(resource.RLIMIT_AS, (BYTES_AT_MOST, BYTES_AT_MOST))
    step = make(library, cases(library)[number], *draw(size))
    before = resident()
    with contextlib.suppress(MemoryError, RuntimeError):
        value, gradient = step()
        once = min(timed(step, 1) for _ in range(2))
        calls = max(1, round(SECONDS_A_TURN / once))
        answers = {
            "result": lambda: (float(value), np.asarray(gradient)),
            "once": lambda: timed(step, 1),
            "turn": lambda: timed(step, calls),
            "memory": lambda: peak() - before,
        }
        while True:
            pipe.send(answers[pipe.recv()]())


def draw(size):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(size // PER_CLASS), PER_CLASS)
    centres = rng.normal(size=(size // PER_CLASS, DIM))
    embeddings = centres[labels] + 2.0 * rng.normal(size=(size, DIM))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return labels, embeddings.astype("float32")


def our_step(library, case, labels, embeddings):
    del library
    # The factor of a case is of batches of 16, which sums are compared on.
    factor = len(labels) if case.factor == 16.0 else case.factor
    return tensorflow_step(
        lambda y, e: factor * case.loss(y, e), case.normalized, labels, embeddings
    )


def their_step(library, case, labels, embeddings):
    if library == "TFA":
        from tests.addons.conftest import load_addons

        loss = getattr(load_addons().losses, case.name)(**case.arguments)
        return tensorflow_step(loss, case.normalized, labels, embeddings)
    return torch_step(case, labels, embeddings)


def tensorflow_step(loss, normalized, labels, embeddings):
    import tensorflow as tf

    @tf.function
    def step(labels, embeddings):
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            e = tf.nn.l2_normalize(embeddings, 1) if normalized else embeddings
            value = loss(labels, e)
        return value, tape.gradient(value, embeddings)

    labels, embeddings = tf.constant(labels), tf.constant(embeddings)
    return lambda: [x.numpy() for x in step(labels, embeddings)]


def torch_step(case, labels, embeddings):
    import torch

    from tests.losses.record_pytorch_metric_learning import NAMES

    loss = eval(case.theirs, NAMES)
    miner = eval(case.miner, NAMES) if case.miner else None
    labels = torch.tensor(labels)

    def step():
        x = torch.tensor(embeddings, requires_grad=True)
        e = torch.nn.functional.normalize(x) if case.normalized else x
        value = loss(e, labels, miner(e, labels)) if miner else loss(e, labels)
        value.backward()
        return value.detach().numpy(), x.grad.numpy()

    return step


def timed(step, calls):
    start = time.perf_counter()
    for _ in range(calls):
        step()
    return (time.perf_counter() - start) / calls


def resident():
    return _status("VmRSS")


def peak():
    return _status("VmHWM")


def _status(field):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(x for x in lines if x.startswith(field)).split()[1])


def print_table(path):
    """Prints how many times as fast each is, and memory at the largest batch."""
    with path.open() as lines:
        rows = list(csv.DictReader(lines))
    sizes = sorted({int(row["batch"]) for row in rows})
    heads = [f"B = {size:,}" for size in sizes]
    heads = ["loss", "of", *heads, f"memory here, there at {sizes[-1]:,}"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name in dict.fromkeys((row["loss"], row["theirs"]) for row in rows):
        own = {int(x["batch"]): x for x in rows if (x["loss"], x["theirs"]) == name}
        times = [
            own[size]["times_as_fast"] or "–" if size in own else "" for size in sizes
        ]
        last = own.get(sizes[-1], {})
        memory = ", ".join(
            f"{last[x]} MB" for x in ("our_mb", "their_mb") if last.get(x)
        )
        print(f"| `{name[0]}` | {' | '.join([name[1], *times, memory])} |")


def version(module):
    """Returns the version of a module that may be missing, or of another package."""
    names = importlib.metadata.packages_distributions().get(module, [])
    return importlib.metadata.version(names[0]) if names else ""


def rows_there(path):
    """Returns what the file has: `(theirs, batch)` of each row."""
    if path is None or not path.exists():
        return set()
    with path.open() as lines:
        return {(row["theirs"], row["batch"]) for row in csv.DictReader(lines)}


def add(row, path):
    run = {
        "cores": os.cpu_count(),
        "kerasdml": kerasdml.__version__,
        "date": datetime.date.today().isoformat(),
        **{name: version(name) for name in ("tensorflow", "torch", *MODULES.values())},
    }
    row_files.add(path, {**row, **run})


if __name__ == "__main__":
    main()
