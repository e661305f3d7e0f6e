"""Write a SavedModel for TensorFlow Serving, with an index to search if given.

Nothing is overwritten: a new version gets the next number.

Example:

  kerasdml export runs/photos/embedder.keras --index photos.index --out served/photos
"""

import pathlib

from kerasdml.cli.arguments import MODEL, add_option


def add_arguments(parser):
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    parser.add_argument("--out", metavar="PATH", required=True, help="to write into")
    parser.add_argument("--index", metavar="DIR", help="what kerasdml index wrote")
    parser.add_argument(
        "--calibration", metavar="FILE", help="what kerasdml calibrate wrote"
    )
    parser.add_argument(
        "--examples",
        metavar="FILE",
        nargs="+",
        help="JPEG or PNG files for the server to warm up with (default: a grey one)",
    )
    parser.add_argument(
        "--version", type=int, metavar="N", help="number (default: the next free one)"
    )
    add_option(parser, "-k", 10, "neighbours that a search gives")


def run(args):
    from kerasdml import export, zoo

    embedder = zoo.load(args.model)
    path = export.saved_model(
        embedder,
        args.out,
        index=_index(args.index, embedder),
        version=_next_version(args.out) if args.version is None else args.version,
        k=args.k,
        calibration=_calibration(args.calibration),
        examples=args.examples,
    )
    print(f"{path} is ready. Serve it: kerasdml serve {args.out}")


def _index(path, embedder):
    from kerasdml import index

    return None if path is None else index.load(path, dim=embedder.output_shape[-1])


def _calibration(path):
    from kerasdml import metrics

    if path is None:
        return None
    text = pathlib.Path(path).read_text(encoding="utf-8")
    try:
        return metrics.Calibration.from_json(text)
    except ValueError as error:
        raise ValueError(f"{path} must be what kerasdml calibrate wrote.") from error


def _next_version(path):
    path = pathlib.Path(path)
    names = [child.name for child in path.iterdir()] if path.is_dir() else []
    return max((int(name) for name in names if name.isdecimal()), default=0) + 1
