"""Time and state of methods that remember, generate or teach, beside their base loss.

A step is a whole step of training of a linear embedder from 64 to d numbers, compiled,
with the data set in memory. The ratio is the median over rounds in which the two take
turns. State is what the method adds to the checkpoint, in bytes.

    python benchmarks/methods.py --csv benchmarks/results/methods.csv
    python benchmarks/methods.py --only "memory of 65,536" --batches 128
    python benchmarks/methods.py --csv benchmarks/results/methods.csv --table

`--csv` adds rows to the file and skips those that are there.
"""

import argparse
import csv
import dataclasses
import datetime
import os
import pathlib
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import row_files
from keras import ops

import kerasdml
from kerasdml import losses, references
from kerasdml.miners import Representatives
from kerasdml.optimizers import Proximal

INPUTS = 64
SECONDS_A_TURN = 0.3
# What methods hold of each class is measured at those of Stanford Online Products,
# and at many.
CLASSES = 11_318, 100_000


@dataclasses.dataclass
class Case:
    """A method beside its base.

    Attributes:
        with_method: Function of `(embedder, classes)` that returns a compiled model.
        base: Function of `(embedder, classes)` that returns the model without it.
        fields: Function of `(batch, classes)` that returns what `y` has beside
            `label`, arrays by name.
        per_class: Whether its state grows with the classes.
    """

    with_method: Callable
    base: Callable
    fields: Callable = lambda batch, classes: {}
    per_class: bool = False


def compiled(make_loss):
    """Returns a function `(embedder, classes)` to a model compiled with a loss."""

    def make(embedder, classes):
        model = kerasdml.MetricModel(embedder)
        model.compile(keras.optimizers.SGD(0.01), loss=make_loss(classes))
        return model

    return make


plain = compiled(lambda classes: losses.MultiSimilarity())


class Product(losses.MetricLoss):
    """Nothing but the product of the batch with a memory, and its gradient."""

    def __init__(self, size):
        super().__init__()
        self.bank = references.MemoryBank(size)

    @property
    def layers(self):
        return [self.bank]

    def costs(self, labels, embeddings):
        kept = ops.stop_gradient(self.bank.embeddings)
        return ops.sum(ops.matmul(embeddings, ops.transpose(kept)) ** 2, axis=1)


def proximal(embedder, classes):
    model = kerasdml.MetricModel(embedder)
    optimizer = Proximal(keras.optimizers.SGD(0.01), lifetime=100)
    model.compile(optimizer, loss=losses.MultiSimilarity())
    return model


def taught_by(make_loss):
    """Returns a case of a loss that learns from as many numbers as it gives."""
    return Case(
        compiled(lambda classes: make_loss()),
        plain,
        fields=lambda batch, classes: {
            "teacher": np.random.default_rng(1).normal(size=(batch, 512))
        },
    )


def two_losses():
    return losses.MultiSimilarity(), losses.BinomialDeviance()


def with_heads(make_loss):
    """Returns a function to a model of two heads on the embedder's features."""

    def make(features, classes):
        dim = features.output_shape[1] // 2
        heads = kerasdml.models.EnsembleEmbedder(features, heads=2, dim=dim)
        return compiled(lambda classes: make_loss())(heads, classes)

    return make


def with_source(make_source):
    """Returns `compiled` of the base loss with a source of references."""
    return compiled(
        lambda classes: losses.MultiSimilarity(references=[make_source(classes)])
    )


def two_layers(embedder):
    """Returns the embedder with another layer, of features as wide as embeddings."""
    last = keras.layers.Dense(embedder.output_shape[1], name="embedding")
    return keras.Sequential([keras.Input((INPUTS,)), *embedder.layers, last])


def generating(embedder, classes):
    network = two_layers(embedder)
    model = kerasdml.models.HardSampleGeneration(network, classes, warmup_steps=0)
    model.compile(keras.optimizers.SGD(0.01), loss=losses.MultiSimilarity())
    return model


with_memory = compiled(
    lambda classes: losses.MultiSimilarity(references=[references.MemoryBank(65_536)])
)

CASES = {
    "memory of 65,536": Case(with_memory, plain),
    "memory of 65,536, over its matrix product": Case(
        with_memory, compiled(lambda classes: Product(65_536))
    ),
    "densely-anchored sampling": Case(
        with_source(lambda classes: references.DenselyAnchored(num_classes=classes)),
        plain,
        per_class=True,
    ),
    "intra-class augmentation": Case(
        with_source(
            lambda classes: references.IntraClassAugmentation(num_classes=classes)
        ),
        plain,
        per_class=True,
    ),
    "embedding expansion": Case(
        with_source(lambda classes: references.EmbeddingExpansion()), plain
    ),
    "symmetrical synthesis": Case(
        with_source(lambda classes: references.SymmetricalSynthesis()), plain
    ),
    "proxy synthesis": Case(
        compiled(
            lambda classes: losses.ProxySynthesis(
                loss=losses.ProxyNCA(num_classes=classes)
            )
        ),
        compiled(lambda classes: losses.ProxyNCA(num_classes=classes)),
        per_class=True,
    ),
    "HIER beside Proxy-Anchor": Case(
        compiled(
            lambda classes: (
                losses.ProxyAnchor(num_classes=classes) + 0.5 * losses.HIER()
            )
        ),
        compiled(lambda classes: losses.ProxyAnchor(num_classes=classes)),
    ),
    "self-paced pairs of 60,000 samples": Case(
        compiled(lambda classes: losses.DenoisingMultiSimilarity(num_samples=60_000)),
        plain,
        fields=lambda batch, classes: {"index": np.arange(batch)},
    ),
    "pairs of representatives": Case(
        compiled(lambda classes: losses.MultiSimilarity(miner=Representatives())),
        plain,
    ),
    "proximal steps": Case(proximal, plain),
    "relational distillation": taught_by(losses.RelationalDistillation),
    "relational distillation, distances alone": taught_by(
        lambda: losses.RelationalDistillation(angle_weight=0.0)
    ),
    "distance preserving": taught_by(losses.DistancePreserving),
    "ensemble of two losses, over their sum": Case(
        compiled(lambda classes: losses.Ensemble(losses=two_losses())),
        compiled(lambda classes: losses.Sum(losses=two_losses())),
    ),
    "two diverse heads, over a sum of two losses": Case(
        with_heads(lambda: losses.DiverseEnsemble(losses=two_losses())),
        with_heads(lambda: losses.Sum(losses=two_losses())),
    ),
    "two-stage hard-sample generation": Case(
        generating,
        lambda embedder, classes: plain(two_layers(embedder), classes),
        per_class=True,
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--csv", type=pathlib.Path, help="file to add the rows to")
    parser.add_argument("--table", action="store_true", help="print the file's rows")
    args = parser.parse_args()
    if args.table:
        print_table(args.csv)
        return
    there = rows_in(args.csv)
    for name in args.only:
        case = CASES[name]
        for classes in CLASSES if case.per_class else CLASSES[:1]:
            for batch in args.batches:
                what = {"method": name, "batch": batch, "dim": args.dim}
                what |= {"classes": classes if case.per_class else ""}
                if tuple(map(str, what.values())) in there:
                    continue
                row = what | measure(case, batch, args.dim, classes, args.rounds)
                print("  ".join(f"{key} {value}" for key, value in row.items()))
                if args.csv:
                    add(row, args.csv)


def measure(case, batch, dim, classes, rounds):
    """Returns the time of a step, beside its base's, and the state it adds."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, INPUTS)).astype("float32")
    y = {"label": np.repeat(np.arange(batch // 4), 4)}
    y |= case.fields(batch, classes)
    steps, states = [], []
    for make in (case.with_method, case.base):
        model = make(embedder(dim), classes)
        steps.append(step_of(model, x, y))
        states.append(state_of(model))
    calls = [max(1, round(SECONDS_A_TURN / seconds(step, 3))) for step in steps]
    turns = [
        [seconds(*pair) for pair in zip(steps, calls, strict=True)]
        for _ in range(rounds)
    ]
    ours, bare = (1e3 * statistics.median(x) for x in zip(*turns, strict=True))
    return {
        "times_the_base": round(statistics.median(a / b for a, b in turns), 2),
        "milliseconds": round(ours, 2),
        "base_milliseconds": round(bare, 2),
        "state_bytes": states[0] - states[1],
    }


def embedder(dim):
    return keras.Sequential([keras.Input((INPUTS,)), keras.layers.Dense(dim)])


def step_of(model, x, y):
    """Returns a function that takes one compiled step of training."""
    model.make_train_function()
    model.train_on_batch(x, y)

    def step():
        model.train_on_batch(x, y)

    return step


def state_of(model):
    return sum(
        int(np.prod(weight.shape)) * np.dtype(str(weight.dtype)).itemsize
        for weight in [*model.weights, *model.optimizer.variables]
    )


def seconds(step, calls):
    step()
    start = time.perf_counter()
    for _ in range(calls):
        step()
    return (time.perf_counter() - start) / calls


KEY = ("method", "batch", "dim", "classes")


def rows_in(path):
    if path is None or not path.exists():
        return set()
    with path.open() as lines:
        return {tuple(row[name] for name in KEY) for row in csv.DictReader(lines)}


def print_table(path):
    with path.open() as lines:
        rows = list(csv.DictReader(lines))
    heads = [*KEY, "times_the_base", "milliseconds", "state_bytes"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for row in rows:
        print(f"| {' | '.join(row[name] for name in heads)} |")


def add(row, path):
    run = {
        "backend": keras.backend.backend(),
        "cores": os.cpu_count(),
        "kerasdml": kerasdml.__version__,
        "keras": keras.__version__,
        "date": datetime.date.today().isoformat(),
    }
    row_files.add(path, {**row, **run})


if __name__ == "__main__":
    main()
