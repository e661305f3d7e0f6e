"""Search speed and recall of `index.Exact` and `index.Scann`, and cost of an export.

Run: python benchmarks/index.py

With KERASDML_DATA set, the collection is `cnn64_base` of `ann_vectors.npz` there
(12,000 real embeddings of size 64); without, 12,000 synthetic ones in 200 clusters.
Machines are noisy: compare the ratios, which are of one run.
"""

import os
import pathlib
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from kerasdml import export, index

K = 10


def main():
    gallery, queries, source = collection()
    print(
        f"{len(gallery)} x {gallery.shape[1]} {source}, {len(queries)} queries, k={K}"
    )
    indexes = {
        "Exact": index.Exact.build(gallery, similarity="euclidean"),
        "Scann, all scanned": index.Scann.build(
            gallery, similarity="euclidean", leaves=0
        ),
        "Scann, by default": index.Scann.build(gallery, similarity="euclidean"),
    }
    _, truth = indexes["Exact"].search(queries, k=K)
    compare_searches(indexes, queries, truth)
    for name in ("Exact", "Scann, by default"):
        measure_export(name, indexes[name])


def collection():
    folder = os.environ.get("KERASDML_DATA")
    if folder and (file := pathlib.Path(folder) / "ann_vectors.npz").is_file():
        data = np.load(file)
        vectors = (data["cnn64_base"], data["cnn64_queries"])
        return *(v.astype("float32") for v in vectors), "real embeddings"
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(200, 64))
    vectors = centres[rng.integers(200, size=13_000)] + rng.normal(size=(13_000, 64))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors[:12_000], vectors[12_000:], "synthetic embeddings"


def compare_searches(indexes, queries, truth):
    print(f"{'':20}{'recall@10':>10}{'queries/s':>12}{'x Exact':>9}{'ms, one':>10}")
    exact_rate = None
    for name, searched in indexes.items():
        _, found = searched.search(queries, k=K)
        seconds = best_of(5, searched.search, queries, K)
        rate = len(queries) / seconds
        exact_rate = exact_rate or rate
        one = 1e3 * best_of(50, searched.search, queries[:1], K)
        print(
            f"{name:20}{recall(found, truth):10.4f}{rate:12,.0f}"
            f"{rate / exact_rate:9.2f}{one:10.3f}"
        )


def measure_export(name, searched):
    embedder = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Conv2D(16, 3, strides=2),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(searched.dim),
        ]
    )
    picture = np.random.default_rng(0).integers(0, 256, (48, 48, 3), "uint8")
    files = tf.stack([tf.io.encode_png(picture)])
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        path = export.saved_model(embedder, folder, index=searched, k=K)
        written = time.perf_counter() - start
        size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) / 2**20
        start = time.perf_counter()
        search = tf.saved_model.load(path).signatures["search"]
        loaded = time.perf_counter() - start
        start = time.perf_counter()
        search(image_bytes=files)
        first = time.perf_counter() - start
        steady = best_of(50, lambda: search(image_bytes=files))
    print(
        f"export with {name}: {size:.1f} MB, written in {written:.2f} s, loaded in "
        f"{loaded:.2f} s, first search {1e3 * first:.1f} ms, then "
        f"{1e3 * steady:.2f} ms (first / then = {first / steady:.0f})"
    )


def recall(found, truth):
    pairs = zip(found.tolist(), truth.tolist(), strict=True)
    return np.mean([len(set(f) & set(t)) / K for f, t in pairs])


def best_of(count, function, *args):
    """The shortest of `count` calls in seconds, after one that is not counted."""
    function(*args)
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        function(*args)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    main()
