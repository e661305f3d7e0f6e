"""Time and memory of evaluation, side by side: what nobody can save, ours, others.

Four tasks, each of which prints ratios of one run:

- `retrieval`: recall@1, 10, 100, 1000, R-Precision and MAP@R by `metrics.retrieval`,
  beside the bare matrix product and top-k in the same chunks, and
  pytorch-metric-learning's `AccuracyCalculator` with faiss. `ours, whole lists` is
  MRR and mAP of whole lists. `half of a product` is what the symmetry leaves to do.
- `short`: precision@1, R-Precision and MAP@R, what `AccuracyCalculator` has by itself,
  for which lists as long as the largest class suffice.
- `clustering`: NMI by `metrics.clustering`, beside faiss' k-means.
- `scann`: recall@1, 10 by `engine="scann"`, beside the exact engine for a hundredth of
  the queries.

Each contender runs in a process of its own, in turns. Memory is what its resident set
grows by, at its highest, over the embeddings and the libraries, both loaded.

    python benchmarks/evaluation.py --sizes 20000x512 60502x512
    python benchmarks/evaluation.py --task clustering --sizes 60502x128
    python benchmarks/evaluation.py --task scann --sizes 1000000x128 --rounds 1

`--sizes` are embeddings x dimensions; there is a class to every 5.3466 embeddings, as
in Stanford Online Products (60,502 of 11,316 classes). `--csv` adds rows to a file.
"""

import argparse
import functools
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import row_files

KS = (1, 10, 100, 1000)
PER_CLASS = 60_502 / 11_316

TITLES = ["task", "size", "contender", "seconds", "times_the_first", "megabytes"]
TITLES += ["values"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=TASKS, default="retrieval")
    parser.add_argument("--sizes", nargs="+", default=["20000x512"])
    parser.add_argument("--contenders", nargs="+", help="of the task; all by default")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, in turns")
    parser.add_argument("--csv", type=pathlib.Path, help="file to add the rows to")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        run_one(TASKS[args.task][args.one], args.sizes[0])
        return
    for size in args.sizes:
        compare(args.task, size, args.contenders, args.rounds, args.csv)


def compare(task, size, contenders, rounds, file):
    contenders = contenders or list(TASKS[task])
    with tempfile.TemporaryDirectory() as folder:
        make_data(pathlib.Path(folder), size)
        results = [{c: run(task, c, folder) for c in contenders} for _ in range(rounds)]
    for name in contenders:
        runs = [result[name] for result in results]
        ratios = [r[name]["seconds"] / r[contenders[0]]["seconds"] for r in results]
        row = {
            "task": task,
            "size": size,
            "contender": name,
            "seconds": round(statistics.median(run["seconds"] for run in runs), 3),
            f"times_{contenders[0]}": round(statistics.median(ratios), 3),
            "megabytes": round(max(run["megabytes"] for run in runs)),
            "values": " ".join(f"{k}={v:.4f}" for k, v in runs[0]["values"].items()),
        }
        print("  ".join(f"{k}: {v}" for k, v in row.items()), flush=True)
        if file:
            titled = dict(zip(TITLES, row.values(), strict=True))
            machine = {"cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d")}
            row_files.add(file, {**titled, **machine})


def make_data(folder, size):
    """Draws a cloud around a direction per class, wide enough to overlap.

    Examples of a class are about as similar as the best of thousands of others are,
    some much less, so that relevant items are found at all depths.
    """
    size, dim = map(int, size.split("x"))
    rng = np.random.default_rng(0)
    classes = round(size / PER_CLASS)
    # Classes of unequal sizes, none of them alone.
    labels = np.r_[np.repeat(np.arange(classes), 2), rng.integers(classes, size=size)]
    labels = np.sort(labels[:size])
    vectors = rng.normal(size=(classes, dim)).astype("float32")[labels]
    spread = np.sqrt(dim**0.5 / 3.9 - 1) * np.exp(0.3 * rng.normal(size=(size, 1)))
    vectors += (spread * rng.normal(size=(size, dim))).astype("float32")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(folder / "embeddings.npy", vectors)
    np.save(folder / "labels.npy", labels)


def run(task, contender, folder):
    """Runs one contender in a process of its own; its peak is then its own, too."""
    command = [sys.executable, __file__, "--task", task, "--one", contender]
    output = subprocess.run(
        [*command, "--sizes", folder], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(output.stdout.splitlines()[-1])


def run_one(contender, folder):
    embeddings = np.load(pathlib.Path(folder) / "embeddings.npy")
    labels = np.load(pathlib.Path(folder) / "labels.npy")
    few = slice(0, max(2 * max(KS), len(labels) // 100))
    contender(embeddings[few], labels[few])  # loads what it needs
    before, start = peak_megabytes(), time.perf_counter()
    values = contender(embeddings, labels)
    seconds = time.perf_counter() - start
    result = {"seconds": seconds, "megabytes": peak_megabytes() - before}
    print(json.dumps({**result, "values": values}))


def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def product_and_top_k(embeddings, labels, depth=KS[-1] + 1):
    from keras import ops

    from kerasdml.metrics.ranking import default_chunk_size

    queries = ops.convert_to_tensor(embeddings)
    gallery = ops.transpose(queries)
    chunk_size = default_chunk_size(len(embeddings))
    for start in range(0, len(embeddings), chunk_size):
        similarities = ops.matmul(queries[start : start + chunk_size], gallery)
        ops.convert_to_numpy(ops.top_k(similarities, depth)[1])
    return {}


def half_of_a_product(embeddings, labels):
    """Multiplies every two items once: what no exact evaluation goes below."""
    from kerasdml.metrics.symmetric_ranks import SIDE

    tile = np.empty((SIDE, SIDE), "float32")
    starts = range(0, len(embeddings), SIDE)
    for start in starts:
        rows = embeddings[start : start + SIDE]
        for other in starts[start // SIDE :]:
            columns = embeddings[other : other + SIDE]
            np.matmul(rows, columns.T, out=tile[: len(rows), : len(columns)])
    return {}


def product_and_short_top_k(embeddings, labels):
    return product_and_top_k(embeddings, labels, int(np.bincount(labels).max()))


def ours(embeddings, labels):
    from kerasdml import metrics

    names = ("recall_at_k", "r_precision", "map_at_r")
    return metrics.retrieval(embeddings, labels, metrics=names, ks=KS)


def ours_of_whole_lists(embeddings, labels):
    from kerasdml import metrics

    names = ("mrr", "map_at_all")
    return metrics.retrieval(embeddings, labels, metrics=names)


def accuracy_calculator(embeddings, labels):
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import (
        AccuracyCalculator as base,
    )

    def requires_knn(self):
        return [*base.requires_knn(self), *recalls]

    def recall(self, k, knn_labels, query_labels, **kwargs):
        found = (knn_labels[:, :k] == query_labels[:, None]).any(dim=1)
        return found.float().mean().item()

    recalls = [f"recall_at_{k}" for k in KS]
    methods = {
        f"calculate_{name}": functools.partialmethod(recall, k)
        for name, k in zip(recalls, KS, strict=True)
    }
    methods["requires_knn"] = requires_knn
    names = [*recalls, "r_precision", "mean_average_precision_at_r"]
    calculator = type("Calculator", (base,), methods)(
        include=names, k=max(KS), device=torch.device("cpu")
    )
    return calculator.get_accuracy(embeddings, labels)


def accuracy_calculator_short(embeddings, labels):
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    names = ("precision_at_1", "r_precision", "mean_average_precision_at_r")
    calculator = AccuracyCalculator(
        include=names, k="max_bin_count", device=torch.device("cpu")
    )
    return calculator.get_accuracy(embeddings, labels)


def ours_short(embeddings, labels):
    from kerasdml import metrics

    return metrics.retrieval(embeddings, labels, ks=(1,))


def faiss_kmeans(embeddings, labels):
    import faiss

    from kerasdml import metrics

    classes = len(np.unique(labels))
    kmeans = faiss.Kmeans(embeddings.shape[1], classes, niter=20, spherical=True)
    # Its default learns from 256 examples a cluster at most, and warns below 39.
    kmeans.cp.min_points_per_centroid = 1
    kmeans.train(embeddings)
    _, clusters = kmeans.index.search(embeddings, 1)
    return {"nmi": metrics.cluster_agreement(labels, clusters[:, 0])["nmi"]}


def our_clustering(embeddings, labels):
    from kerasdml import metrics

    return {"nmi": metrics.clustering(embeddings, labels, iterations=20)["nmi"]}


def exact_sample(embeddings, labels):
    from kerasdml import metrics

    few = np.arange(0, len(labels), 100)
    return metrics.retrieval(
        embeddings[few],
        labels[few],
        embeddings,
        labels,
        metrics=("recall_at_k",),
        ks=(1, 10),
        ignored=few[:, None],  # themselves
    )


def scann(embeddings, labels):
    from kerasdml import metrics

    return metrics.retrieval(
        embeddings, labels, metrics=("recall_at_k",), ks=(1, 10), engine="scann"
    )


TASKS = {
    "retrieval": {
        "product and top-k": product_and_top_k,
        "half of a product": half_of_a_product,
        "ours": ours,
        "ours, whole lists": ours_of_whole_lists,
        "AccuracyCalculator": accuracy_calculator,
    },
    "short": {
        "product and top-k": product_and_short_top_k,
        "ours": ours_short,
        "AccuracyCalculator": accuracy_calculator_short,
    },
    "clustering": {"faiss": faiss_kmeans, "ours": our_clustering},
    "scann": {"exact, 1 of 100 queries": exact_sample, "scann": scann},
}


if __name__ == "__main__":
    main()
