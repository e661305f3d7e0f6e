"""What a search finds, how fast, and what it takes to get there, side by side.

    python benchmarks/search.py --sizes 60000x512 1000000x128
    python benchmarks/search.py --contenders Exact "ScaNN, in the graph"

`--sizes` are embeddings x dimensions, synthetic ones of unit length in overlapping
clusters, most of whose variance lies in few directions, as networks' does. 1,000
queries of the same clusters are not stored: 500 tune what can be tuned, to the fastest
or smallest setting with a recall@10 of at least 0.95, and 500 are measured. `Exact`,
`Exact int8` and what `in the graph` names are searched as a server does it: a
SavedModel is loaded in a process without the gallery. `mapped` leaves float32
embeddings on disk. ScaNN's own Python binding has the sizes and settings that
`Scann.tune` chose. faiss and hnswlib are of the extra: pip install '.[bench]'.

Each contender builds and saves in one process, and loads and searches in another, on
all cores. Columns: `recall` at 10; `queries_per_second` of 500 queries at once, the
best of five times; milliseconds of one query alone, the median and the 95th and 99th
percentile of 500; `call_ms`, what the call of a TensorFlow graph that does nothing
takes of that, at the median; seconds to build (with what tunes it) and to load,
megabytes that loading and searching add to the process, without pages of mapped files,
and megabytes on disk. Machines are noisy: compare within one run. `--csv` adds
rows to a file.
"""

import argparse
import importlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import row_files

K = 10
TARGET = 0.95


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["60000x512"])
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, metavar="NAME")
    parser.add_argument("--csv", type=pathlib.Path, help="file to add the rows to")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        step, name, folder = args.one
        {"build": build, "search": search}[step](name, pathlib.Path(folder))
        return
    run(args.sizes, args.contenders or CONTENDERS, args.csv)


def run(sizes, contenders, csv_file=None):
    """Measures contenders on collections of these sizes, a printed line each."""
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            make_data(pathlib.Path(folder), size)
            for name in contenders:
                row = {"size": size, "contender": name, **measured(name, folder)}
                print("  ".join(f"{k}: {v}" for k, v in row.items()), flush=True)
                if csv_file:
                    add(row, csv_file)


def make_data(folder, size):
    """Clusters as of classes, with queries beside and their true neighbours.

    The variance of coordinate i is 1 / i, so that some 20 to 30 dimensions count and
    clusters are not so far apart that one leaf of any tree holds a whole one.
    """
    size, dim = map(int, size.split("x"))
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((max(1, size // 50), dim), dtype="float32")
    spread = np.arange(1, dim + 1, dtype="float32") ** -0.5
    vectors = np.empty((size + 1000, dim), "float32")
    # In parts, so that little more than the collection is in memory.
    for part in np.array_split(vectors, 1 + size // 100_000):
        rng.standard_normal(dtype="float32", out=part)
        part *= 0.8
        part += centres[rng.integers(len(centres), size=len(part))]
        part *= spread
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    gallery, queries = vectors[:size], vectors[size:]
    truth = np.stack([nearest(gallery, query) for query in queries])
    for name, array in (("gallery", gallery), ("queries", queries), ("truth", truth)):
        np.save(folder / f"{name}.npy", array)


def nearest(gallery, query):
    """`(K,)` rows of the largest products with a query."""
    return np.argpartition(-(gallery @ query), K)[:K].copy()


def measured(name, folder):
    """Runs the two steps of one contender, each in a process of its own."""
    row = {}
    for step in ("build", "search"):
        command = [sys.executable, __file__, "--one", step, name, folder]
        run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        row |= json.loads(run.stdout.splitlines()[-1])
    order = ["recall", "queries_per_second", "p50_ms", "p95_ms", "p99_ms", "call_ms"]
    return {name: row.pop(name) for name in order} | row


def build(name, folder):
    gallery = np.load(folder / "gallery.npy")
    queries, truth = (np.load(folder / f"{x}.npy")[:500] for x in ("queries", "truth"))
    contender, target = CONTENDERS[name], folder / name
    contender.import_what_it_needs()
    target.mkdir()
    start = time.perf_counter()
    settings = contender.build(gallery, queries, truth, target)
    seconds = time.perf_counter() - start
    files = [file for file in target.rglob("*") if file.is_file()]
    print(
        json.dumps(
            {
                "build_s": round(seconds, 2),
                "disk_mb": round(sum(f.stat().st_size for f in files) / 2**20, 1),
                "settings": " ".join(f"{k}={v}" for k, v in settings.items()),
            }
        )
    )


def search(name, folder):
    queries, truth = (np.load(folder / f"{x}.npy")[500:] for x in ("queries", "truth"))
    contender = CONTENDERS[name]
    contender.import_what_it_needs()
    before, start = own_megabytes(), time.perf_counter()
    find = contender.load(folder / name)
    loaded = time.perf_counter() - start
    found = find(queries)
    together = min(seconds_of(find, queries) for _ in range(5))
    find(queries[:1])
    alone = 1e3 * np.array(
        [seconds_of(find, queries[i : i + 1]) for i in range(len(queries))]
    )
    p50, p95, p99 = np.percentile(alone, [50, 95, 99]).round(3).tolist()
    nothing = contender.empty_call()
    calls = [seconds_of(nothing, queries[i : i + 1]) for i in range(len(queries))]
    print(
        json.dumps(
            {
                "recall": round(recall(found, truth), 4),
                "queries_per_second": round(len(queries) / together, 1),
                "p50_ms": p50,
                "p95_ms": p95,
                "p99_ms": p99,
                "call_ms": round(1e3 * float(np.median(calls)), 3),
                "load_s": round(loaded, 2),
                "memory_mb": round(own_megabytes() - before, 1),
            }
        )
    )


def recall(found, truth):
    return float(np.mean(shares(found, truth)))


def shares(found, truth):
    pairs = zip(np.asarray(found), truth, strict=True)
    return [np.isin(t, f).mean() for f, t in pairs]


def seconds_of(function, *args):
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def own_megabytes():
    """Memory of this process, without pages of files, which the system may drop."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) / 1024


def add(row, file):
    run = {"cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d")}
    row_files.add(file, {**row, **run})


def least(settings, found_with, truth):
    """The first setting that finds enough, as `Scann.tune` judges it, or the last."""
    for setting in settings:
        each = shares(found_with(setting), truth)
        if np.mean(each) - 2 * np.std(each) / len(each) ** 0.5 >= TARGET:
            break
    return setting


class Library:
    """What is called from Python without a graph between."""

    def empty_call(self):
        return lambda queries: None


class Ours:
    """An index inside a SavedModel, as `export.saved_model` has it."""

    def __init__(self, kind, **options):
        self.kind = kind
        self.options = options

    def import_what_it_needs(self):
        from kerasdml import index

        if self.kind == "Scann":
            # Its operations, without which a SavedModel with ScaNN does not load.
            importlib.import_module("scann")
        self.index = index

    def made(self, gallery, queries):
        made = getattr(self.index, self.kind).build(gallery, **self.options)
        if self.kind == "Scann":
            made.tune(TARGET, queries, k=K)
        return made

    def build(self, gallery, queries, truth, folder):
        import tensorflow as tf

        made = self.made(gallery, queries)
        served = tf.Module()
        served.index = made
        served.search = tf.function(
            lambda queries: made.search_tensors(queries, K)[1],
            input_signature=[tf.TensorSpec((None, made.dim), tf.float32)],
        )
        options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
        tf.saved_model.save(served, str(folder), options=options)
        if self.kind != "Scann":
            return self.options
        settings = {x: getattr(made, x) for x in ("leaves", "leaves_to_search")}
        settings["reorder"] = made.reorder
        (folder.parent / "settings.json").write_text(json.dumps(settings))
        return settings

    def load(self, folder):
        import tensorflow as tf

        (search,) = tf.saved_model.load(str(folder)).search.concrete_functions
        return lambda queries: search(tf.constant(queries)).numpy()

    def empty_call(self):
        import tensorflow as tf

        spec = tf.TensorSpec((None, None), tf.float32)
        nothing = tf.function(lambda queries: queries[:, :K], input_signature=[spec])
        nothing = nothing.get_concrete_function()
        return lambda queries: nothing(tf.constant(queries)).numpy()


class OursFromPython(Ours):
    """`index.load(path).search`."""

    def build(self, gallery, queries, truth, folder):
        made = self.made(gallery, queries)
        made.save(folder / "index")
        names = ("leaves", "leaves_to_search", "reorder")
        return {x: getattr(made, x) for x in names if hasattr(made, x)}

    def load(self, folder):
        made = self.index.load(folder / "index", mmap=True)
        return lambda queries: made.search(queries, k=K)[1]


class ScannBinding(Library):
    """ScaNN's Python binding, with the settings that `Scann.tune` chose."""

    def import_what_it_needs(self):
        from scann.scann_ops.py import scann_ops_pybind

        self.scann = scann_ops_pybind

    def build(self, gallery, queries, truth, folder):
        file = folder.parent / "settings.json"
        if not file.exists():
            sys.exit('Measure "ScaNN, in the graph" before, which chooses settings.')
        settings = json.loads(file.read_text())
        builder = self.scann.builder(gallery, K, "dot_product")
        if settings["leaves"]:
            builder = (
                builder.tree(settings["leaves"], settings["leaves_to_search"])
                .score_ah(2, anisotropic_quantization_threshold=0.2)
                .reorder(settings["reorder"])
            )
        else:
            builder = builder.score_brute_force()
        builder.build().serialize(str(folder))
        return settings

    def load(self, folder):
        searcher = self.scann.load_searcher(str(folder))

        def find(queries):
            if len(queries) == 1:
                return [searcher.search(queries[0])[0]]
            return searcher.search_batched_parallel(queries)[0]

        return find


class Faiss(Library):
    """An index of faiss; `knob` names what is raised until it finds enough."""

    def __init__(self, description, knob=None):
        self.description = description
        self.knob = knob

    def import_what_it_needs(self):
        import faiss

        self.faiss = faiss

    def build(self, gallery, queries, truth, folder):
        leaves = round(len(gallery) ** 0.5)
        made = self.faiss.index_factory(
            gallery.shape[1],
            self.description.format(leaves=leaves),
            self.faiss.METRIC_INNER_PRODUCT,
        )
        made.train(gallery)
        made.add(gallery)
        settings = {}
        if self.knob:

            def found_with(value):
                self.faiss.ParameterSpace().set_index_parameter(made, self.knob, value)
                return made.search(queries, K)[1]

            values = [round(1.3**i) for i in range(3, 30)]
            settings = {self.knob: least(values, found_with, truth)}
        self.faiss.write_index(made, str(folder / "index"))
        return settings

    def load(self, folder):
        made = self.faiss.read_index(str(folder / "index"))
        return lambda queries: made.search(queries, K)[1]


class Hnswlib(Library):
    """hnswlib, of its documentation's sizes."""

    def import_what_it_needs(self):
        import hnswlib

        self.hnswlib = hnswlib

    def build(self, gallery, queries, truth, folder):
        made = self.hnswlib.Index(space="ip", dim=gallery.shape[1])
        made.init_index(max_elements=len(gallery), M=16, ef_construction=200)
        made.add_items(gallery)

        def found_with(ef):
            made.set_ef(ef)
            return made.knn_query(queries, k=K)[0]

        values = [round(K * 1.3**i) for i in range(20)]
        settings = {"dim": gallery.shape[1], "ef": least(values, found_with, truth)}
        made.save_index(str(folder / "index"))
        (folder / "settings.json").write_text(json.dumps(settings))
        return settings

    def load(self, folder):
        settings = json.loads((folder / "settings.json").read_text())
        made = self.hnswlib.Index(space="ip", dim=settings["dim"])
        made.load_index(str(folder / "index"))
        made.set_ef(settings["ef"])
        return lambda queries: made.knn_query(queries, k=K)[0]


CONTENDERS = {
    "Exact": Ours("Exact"),
    "Exact int8": Ours("Exact", storage="int8"),
    "Exact int8, mapped": OursFromPython("Exact", storage="int8"),
    "ScaNN, in the graph": Ours("Scann"),
    "ScaNN, from Python": OursFromPython("Scann"),
    "ScaNN's binding": ScannBinding(),
    "faiss flat": Faiss("Flat"),
    "faiss IVF": Faiss("IVF{leaves},Flat", "nprobe"),
    "faiss HNSW": Faiss("HNSW32,Flat", "efSearch"),
    "hnswlib": Hnswlib(),
}


if __name__ == "__main__":
    main()
