"""Time of `metrics.retrieval` as a multiple of what no exact evaluation can save.

That is the matrix product and the top-k of the same depth, in the same chunks. One
line per size of class, which sets the depth that MAP@R needs:

    python benchmarks/evaluation.py
"""

import argparse
import statistics
import time

import numpy as np
from keras import ops

from kerasdml import metrics
from kerasdml.metrics.ranking import default_chunk_size


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=20_000, help="embeddings")
    parser.add_argument("--dim", type=int, default=128, help="numbers in each")
    parser.add_argument("--per-class", type=int, nargs="+", default=[5, 50])
    parser.add_argument("--repeats", type=int, default=5, help="runs of each, paired")
    args = parser.parse_args()
    for per_class in args.per_class:
        compare(args.size, args.dim, per_class, args.repeats)


def compare(size, dim, per_class, repeats):
    labels = np.arange(size) // per_class
    embeddings = unit_vectors(labels, dim)
    depth = max(10, per_class - 1)
    scores = metrics.retrieval(embeddings, labels)  # warms up
    product_and_top_k(embeddings, depth)
    pairs = [
        (
            seconds(metrics.retrieval, embeddings, labels),
            seconds(product_and_top_k, embeddings, depth),
        )
        for _ in range(repeats)
    ]
    ratio = statistics.median(ours / bare for ours, bare in pairs)
    ours, bare = map(statistics.median, zip(*pairs, strict=True))
    print(
        f"retrieval {size} x {dim}, classes of {per_class}, depth {depth}: "
        f"{ratio:.2f} times product + top-k ({ours:.2f} s / {bare:.2f} s), "
        f"recall_at_1 {scores['recall_at_1']:.3f}"
    )


def unit_vectors(labels, dim):
    """Draws a cloud around a direction per class, wide enough to overlap."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(labels.max() + 1, dim))
    vectors = centres[labels] + 1.5 * rng.normal(size=(labels.size, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype("float32")


def product_and_top_k(embeddings, depth):
    queries = ops.convert_to_tensor(embeddings)
    gallery = ops.transpose(queries)
    chunk_size = default_chunk_size(len(embeddings))
    for start in range(0, len(embeddings), chunk_size):
        similarities = ops.matmul(queries[start : start + chunk_size], gallery)
        ops.convert_to_numpy(ops.top_k(similarities, depth)[1])


def seconds(function, *args):
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
