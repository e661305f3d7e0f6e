"""Find the similarities from which on two images count as one class.

The images of the split are compared in pairs. Take classes that MODEL was not trained
on, as the default does: those that it was trained on are told apart too well. Give
--prior if fewer pairs will be of one class where the thresholds are used.

With --unknown SHARE the last classes of the split take no part in that. Every second
image of the other classes then makes a gallery, which all remaining images search:
false-id is the share of those of unknown classes that match something, missed-id that
of the others whose nearest image is of another class or does not match.

Example:

  kerasdml calibrate runs/photos/embedder.keras photos/ --out photos.calibration.json
"""

from kerasdml.cli.arguments import SIMILARITIES, add_model_and_data, add_option
from kerasdml.cli.outputs import new_file
from kerasdml.cli.sources import (
    count_classes,
    embed_pack,
    read_pack,
    rows_of,
    similarity_of,
)


def add_arguments(parser):
    add_model_and_data(parser, split="test")
    parser.add_argument("--out", metavar="FILE.json", required=True, help="to write")
    parser.add_argument(
        "--similarity",
        choices=SIMILARITIES,
        help="how embeddings compare (default: as the model's card says, else cosine)",
    )
    parser.add_argument(
        "--false-match-rates",
        type=float,
        nargs="+",
        default=(1e-3,),
        metavar="RATE",
        help="shares of the different pairs that may match (default: 0.001)",
    )
    parser.add_argument(
        "--prior",
        type=float,
        metavar="SHARE",
        help="share of pairs of one class in use (default: that of the split)",
    )
    add_option(parser, "--max-pairs", 2**22, "of more pairs, a sample is compared")
    parser.add_argument(
        "--unknown",
        type=float,
        metavar="SHARE",
        help="share of the classes to search for in vain (default: none)",
    )


def run(args):
    out = new_file(args.out)
    pack = read_pack(args.data)
    pack = pack.subset(rows_of(pack, args.split, args.test_fraction))

    import numpy as np

    from kerasdml import data, metrics, zoo

    known, unknown = np.arange(len(pack)), None
    if args.unknown is not None:
        known, unknown = data.class_disjoint_split(pack.labels, args.unknown)
    similarity = args.similarity or similarity_of(args.model)
    embeddings = embed_pack(zoo.load(args.model), pack)
    calibration = metrics.calibrate(
        embeddings[known],
        pack.labels[known],
        similarity=similarity,
        false_match_rates=args.false_match_rates,
        prior=args.prior,
        max_pairs=args.max_pairs,
    )
    columns = _columns(calibration)
    print(_protocol(pack.subset(known), args.split, calibration, args.max_pairs))
    if unknown is not None:
        searched = _searches(embeddings, pack.labels, known, unknown)
        columns |= _mistakes(calibration, **searched)
        print(
            f"{len(searched['embeddings'])} searches among {len(searched['gallery'])} "
            f"images, {len(unknown)} of them for {count_classes(pack.subset(unknown))} "
            "unknown classes"
        )
    print(_table(calibration.cut_points, columns))
    out.write_text(calibration.to_json() + "\n", encoding="utf-8")
    print(f"{out} is for kerasdml export --calibration.")


def _protocol(pack, split, calibration, max_pairs):
    pairs = len(pack) * (len(pack) - 1) // 2
    compared = f"all {pairs} pairs"
    if pairs > max_pairs:
        compared = f"a sample of at most {max_pairs} of {pairs} pairs"
    return (
        f"{len(pack)} images of {count_classes(pack)} classes (split: {split}), "
        f"{compared}, prior: {calibration.prior:.3g}, "
        f"similarity: {calibration.similarity}"
    )


def _columns(calibration):
    points = calibration.cut_points.values()
    attributes = {
        "threshold": "threshold",
        "precision": "precision",
        "recall": "recall",
        "F1": "f1",
        "FMR": "false_match_rate",
    }
    return {
        title: [getattr(point, attribute) for point in points]
        for title, attribute in attributes.items()
    }


def _searches(embeddings, labels, known, unknown):
    """The arguments of `metrics.open_set`: every second image of a class is found."""
    import numpy as np

    # By class, in the order of the images, so that no class is on one side alone.
    known = known[np.argsort(labels[known], kind="stable")]
    gallery = known[::2]
    queries = np.concatenate([known[1::2], unknown])
    return {
        "embeddings": embeddings[queries],
        "labels": labels[queries],
        "gallery": embeddings[gallery],
        "gallery_labels": labels[gallery],
    }


def _mistakes(calibration, **searches):
    from kerasdml import metrics

    found = [
        metrics.open_set(
            **searches, threshold=point.threshold, similarity=calibration.similarity
        )
        for point in calibration.cut_points.values()
    ]
    return {
        "false-id": [rates["false_identification"] for rates in found],
        "missed-id": [rates["missed_identification"] for rates in found],
    }


def _table(names, columns):
    lines = ["".join([f"{'cut-point':<14}", *(f"{title:>11}" for title in columns)])]
    for name, *row in zip(names, *columns.values(), strict=True):
        lines.append("".join([f"{name:<14}", *(f"{value:>11.4g}" for value in row)]))
    return "\n".join(lines)
