"""Build a search index from what kerasdml embed wrote.

Example:

  kerasdml index photos.npz --out photos.index --kind scann
"""

from kerasdml.cli.arguments import SIMILARITIES, add_option
from kerasdml.cli.outputs import refuse_existing


def add_arguments(parser):
    parser.add_argument(
        "embeddings",
        metavar="EMBEDDINGS.npz",
        help="arrays embeddings, and ids and labels if wanted",
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


def run(args):
    out = refuse_existing(args.out)
    arrays = _read(args.embeddings)

    from kerasdml import index

    kinds = {"exact": index.Exact, "scann": index.Scann}
    built = kinds[args.kind].build(**arrays, similarity=args.similarity)
    built.save(out)
    print(f"{out} holds {built.size} embeddings of size {built.dim}.")


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
        return {name: arrays[name] for name in names if name in arrays}
