"""Build a search index from what kerasdml embed wrote, of one file or several.

Example:

  kerasdml index photos.npz --out photos.index --kind scann --tune 0.95

A later collection becomes the next version of the same index with --version.
"""

import itertools
import json

from kerasdml.cli.arguments import SIMILARITIES, add_option
from kerasdml.cli.outputs import refuse_existing


def add_arguments(parser):
    parser.add_argument(
        "embeddings",
        metavar="EMBEDDINGS.npz",
        nargs="+",
        help="arrays embeddings, and if wanted ids, labels, metadata (JSON texts) and "
        "embedder (a fingerprint)",
    )
    parser.add_argument("--out", metavar="DIR", required=True, help="to write")
    add_option(
        parser,
        "--kind",
        "exact",
        "exact runs on any TensorFlow Serving, scann is faster on large sets",
        choices=("exact", "scann"),
    )
    add_option(
        parser,
        "--similarity",
        "cosine",
        "how embeddings compare",
        choices=SIMILARITIES,
    )
    add_option(
        parser,
        "--storage",
        "float32",
        "what a search of kind exact reads before it scores the best by float32",
        choices=("float32", "float16", "int8"),
    )
    parser.add_argument(
        "--sharded",
        action="store_true",
        help="keep each file's embeddings as a part of their own, of one index",
    )
    parser.add_argument(
        "--tune",
        type=float,
        metavar="RECALL",
        help="of kind scann, choose the fastest search that finds this share of the "
        "true 10 nearest, 0 to 1, by measuring",
    )
    parser.add_argument(
        "--version",
        type=int,
        metavar="N",
        help="add this version to the index in DIR (default: 1, and DIR must be new)",
    )


def run(args):
    out = args.out if args.version else refuse_existing(args.out)
    _check_options(args)
    tables = _tables(args.embeddings)

    from kerasdml import index

    if args.sharded:
        filled = [table for table in tables if len(table["embeddings"])]
        built = index.Sharded([_built(args, table) for table in filled])
    else:
        built = _built(args, _joined(tables))
    built.save(out, version=args.version)
    print(f"{out} holds {built.size} embeddings of size {built.dim}.")


def _built(args, arrays):
    from kerasdml import index

    if args.kind == "exact":
        options = {"similarity": args.similarity, "storage": args.storage}
        return index.Exact.build(**arrays, **options)
    built = index.Scann.build(**arrays, similarity=args.similarity)
    if args.tune:
        report = built.tune(args.tune)
        print(
            f"recall@{report['k']} of {report['queries']} stored embeddings among the "
            f"others: {report['recall']:.4f}, {report['queries_per_second']:,.0f} "
            "queries a second."
        )
    return built


def _check_options(args):
    if args.kind == "exact" and args.tune:
        raise ValueError("--tune needs --kind scann: an exact search finds everything.")
    if args.kind == "scann" and args.storage != "float32":
        raise ValueError("--storage is of --kind exact: ScaNN has codes of its own.")


def _tables(paths):
    """The arguments of `build` of each file; ids that none has count on."""
    import numpy as np

    tables, first = [_read(path) for path in paths], 0
    for path, table in zip(paths, tables, strict=True):
        if table.keys() != tables[0].keys():
            raise ValueError(
                f"{path} must have the arrays that {paths[0]} has, "
                f"{', '.join(tables[0])}. Received: {', '.join(table)}."
            )
        if table.get("embedder") != tables[0].get("embedder"):
            raise ValueError(f"{path} is of another embedder than {paths[0]}.")
    for table in tables:
        rows = len(table["embeddings"])
        table.setdefault("ids", np.arange(first, first + rows))
        first += rows
    return tables


def _joined(tables):
    import numpy as np

    joined = {}
    for name, first in tables[0].items():
        columns = [table[name] for table in tables]
        if name == "embedder":
            joined[name] = first
        elif isinstance(first, list):
            joined[name] = list(itertools.chain(*columns))
        else:
            joined[name] = np.concatenate(columns)
    return joined


def _read(path):
    """The arguments of `build` that are in the file."""
    import numpy as np

    with np.load(path, allow_pickle=False) as arrays:
        if "embeddings" not in arrays:
            raise ValueError(
                f"{path} must have an array `embeddings`, and may have `ids` and "
                f"`labels`. Received: {', '.join(arrays)}."
            )
        names = ("embeddings", "ids", "labels")
        read = {name: arrays[name] for name in names if name in arrays}
        if "embedder" in arrays:
            read["embedder"] = str(arrays["embedder"])
        if "metadata" in arrays:
            read["metadata"] = [json.loads(text) for text in arrays["metadata"]]
        return read
