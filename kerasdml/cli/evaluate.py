"""Measure retrieval: is the nearest other image of the same class?

Every image of the split is a query against all its others.

Example:

  kerasdml evaluate runs/photos/embedder.keras photos/ --ks 1 5 10
"""

import json

from kerasdml.cli.arguments import SIMILARITIES, add_model_and_data
from kerasdml.cli.sources import (
    count_classes,
    embed_pack,
    read_pack,
    rows_of,
    similarity_of,
)


def add_arguments(parser):
    add_model_and_data(parser, split="test")
    parser.add_argument(
        "--ks",
        type=int,
        nargs="+",
        default=(1, 10),
        metavar="K",
        help="lengths of the lists for recall and precision (default: 1 10)",
    )
    parser.add_argument(
        "--similarity",
        choices=SIMILARITIES,
        help="how embeddings compare (default: as the model's card says, else cosine)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args):
    verbose = 0 if args.json else 1
    pack = read_pack(args.data, verbose)
    pack = pack.subset(rows_of(pack, args.split, args.test_fraction))

    from kerasdml import metrics, zoo

    embedder = zoo.load(args.model)
    similarity = args.similarity or similarity_of(args.model)
    embeddings = embed_pack(embedder, pack, verbose)
    scores = metrics.retrieval(
        embeddings, pack.labels, ks=args.ks, similarity=similarity
    )
    protocol = (
        f"{len(pack)} images of {count_classes(pack)} classes (split: {args.split}), "
        f"each a query against all others, similarity: {similarity}"
    )
    if args.json:
        print(json.dumps({"protocol": protocol, "metrics": scores}, indent=2))
    else:
        print(protocol)
        print("\n".join(f"{name:<16} {score:.4f}" for name, score in scores.items()))
