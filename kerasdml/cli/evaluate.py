"""Measure retrieval: is the nearest other image of the same class?

Every image of the split is a query against all its others. In-Shop's test queries
search its gallery, and with --gallery the queries search all images of other data,
whose classes are matched by name: photos by sketches, say. --engine scann finds most
neighbours rather than all, and prints how many: engine_recall_at_K.

Metrics are those of metrics.evaluate: recall_at_k precision_at_k share_found_at_k
map_at_k ndcg_at_k r_precision map_at_r mrr map_at_all voc_map_at_all, and by k-means
nmi ami pairwise_f1 rand adjusted_rand.

Example:

  kerasdml evaluate runs/photos/embedder.keras photos/ --ks 1 5 10
"""

import json

from kerasdml.cli.arguments import DATA, SIMILARITIES, add_model_and_data, add_option
from kerasdml.cli.outputs import new_folder
from kerasdml.cli.sources import (
    BENCHMARK_KS,
    benchmark_of,
    count_classes,
    embed_both,
    queries_and_gallery,
    read_pack,
    rows_of,
    similarity_of,
)

METRICS = ("recall_at_k", "precision_at_k", "r_precision", "map_at_r")


def add_arguments(parser):
    add_model_and_data(parser, split="test")
    parser.add_argument(
        "--gallery", metavar="DATA", help=f"to search instead, all of it: {DATA}"
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        default=METRICS,
        metavar="NAME",
        help=f"what to measure (default: {' '.join(METRICS)})",
    )
    parser.add_argument(
        "--ks",
        type=int,
        nargs="+",
        metavar="K",
        help="lengths of the lists for metrics at k (default: those that papers report "
        "of a benchmark, else 1 10)",
    )
    parser.add_argument(
        "--similarity",
        choices=SIMILARITIES,
        help="how embeddings compare (default: as the model's card says, else cosine)",
    )
    ties = ("index", "optimistic", "pessimistic")
    add_option(parser, "--ties", "index", "which of equals comes first", choices=ties)
    averages = ("micro", "macro")
    add_option(parser, "--average", "micro", "over queries or classes", averages)
    engines = ("exact", "scann")  # the latter for millions of images
    add_option(parser, "--engine", "exact", "what finds neighbours", engines)
    add_option(parser, "--seed", 0, "of the first k-means")
    add_option(parser, "--repeats", 1, "how often k-means runs, each with a new seed")
    parser.add_argument(
        "--report",
        metavar="DIR",
        help="new folder for pictures and index.html, a page of them: curves, the "
        "worst mistakes, confused classes, maps",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args):
    verbose = 0 if args.json else 1
    if args.report is not None:
        from kerasdml.reports.maps import check_sklearn

        check_sklearn()
        new_folder(args.report)
    pack = read_pack(args.data, verbose)
    pack = pack.subset(rows_of(pack, args.split, args.test_fraction))
    queries, gallery = queries_and_gallery(pack)
    if args.gallery is not None:
        queries, gallery = pack, read_pack(args.gallery, verbose)

    from kerasdml import metrics, reports, zoo

    embedder = zoo.load(args.model)
    similarity = args.similarity or similarity_of(args.model)
    embeddings, labels, found, found_labels = embed_both(
        embedder, queries, gallery, verbose
    )
    scores = metrics.evaluate(
        embeddings,
        labels,
        found,
        found_labels,
        metrics=args.metrics,
        ks=args.ks or default_ks(args.data),
        similarity=similarity,
        ties=args.ties,
        average=args.average,
        engine=args.engine,
        seed=args.seed,
        repeats=args.repeats,
        verbose=verbose,
    )
    lone = metrics.lone_queries(labels, found_labels)
    protocol = protocol_of(args, queries, gallery, similarity, lone)
    show(protocol, scores, args.json)
    if args.report is not None:
        reports.write(
            args.report,
            embeddings,
            labels,
            queries.images,
            gallery=found,
            gallery_labels=found_labels,
            gallery_images=None if gallery is None else gallery.images,
            class_names=queries.class_names if gallery is None else None,
            scores=scores,
            protocol="\n".join(protocol),
            title=f"{args.model} on {args.data}",
            similarity=similarity,
            seed=args.seed,
            verbose=verbose,
        )


def protocol_of(args, queries, gallery, similarity, lone):
    """Returns how the scores were measured, a list of lines."""
    from kerasdml.metrics.evaluate import CLUSTERED

    protocol = [
        describe_queries(queries, gallery, split_of(args), similarity),
        f"lone queries: {lone}, ties: {args.ties}, average: {args.average}, "
        f"engine: {args.engine}",
    ]
    if {*args.metrics} & {*CLUSTERED}:
        seeds = ", ".join(str(args.seed + i) for i in range(args.repeats))
        protocol.append(f"k-means: {count_classes(queries)} clusters, seeds: {seeds}")
    return protocol


def show(protocol, scores, as_json):
    """Prints the scores and how they were measured."""
    if as_json:
        found = {"protocol": "; ".join(protocol), "metrics": scores}
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(protocol))
        print(as_lines(scores))


def as_lines(scores):
    """Returns metrics as text, one a line."""
    return "\n".join(f"{name:<16} {score:.4f}" for name, score in scores.items())


def default_ks(source):
    """Returns the lengths of lists that papers report of DATA."""
    return BENCHMARK_KS.get(benchmark_of(source), (1, 10))


def split_of(args):
    """Returns which part of DATA is taken, in words."""
    words = [benchmark_of(args.data), f"split: {args.split}"]
    if args.test_fraction is not None and args.split != "all":
        words.append(f"{args.test_fraction:g} of the classes to test on")
    return ", ".join(word for word in words if word)


def describe_queries(queries, gallery, split, similarity):
    """Returns what is searched for in what, in words."""
    against = "each a query against all others"
    if gallery is not None:
        against = (
            f"each a query against a gallery of {len(gallery)} images of "
            f"{count_classes(gallery)} classes"
        )
    return (
        f"{len(queries)} images of {count_classes(queries)} classes ({split}), "
        f"{against}, similarity: {similarity}"
    )
