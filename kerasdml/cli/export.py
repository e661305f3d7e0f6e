"""Write an embedder for a server, with an index to search if given, or for devices.

Formats: saved_model for TensorFlow Serving and kerasdml serve, lite_rt (.tflite) and
onnx. Nothing is overwritten: a new version of a saved_model gets the next number. It
works by TensorFlow, whatever KERAS_BACKEND says: a .keras file is the same on all.

Example:

  kerasdml export runs/photos/embedder.keras --index photos.index --out served/photos

  kerasdml export runs/photos/embedder.keras --format lite_rt --out photos.tflite
"""

import os
import pathlib
import sys

from kerasdml.cli.arguments import MODEL, add_option

_OF_SAVED_MODEL = ("index", "calibration", "metadata", "version")


def add_arguments(parser):
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    parser.add_argument(
        "--out",
        metavar="PATH",
        required=True,
        help="directory to write a version into; or the .tflite or .onnx file to write",
    )
    formats = ("saved_model", "lite_rt", "onnx")
    add_option(parser, "--format", "saved_model", "what to write", choices=formats)
    parser.add_argument("--index", metavar="DIR", help="what kerasdml index wrote")
    parser.add_argument(
        "--calibration", metavar="FILE", help="what kerasdml calibrate wrote"
    )
    parser.add_argument(
        "--metadata",
        action="store_true",
        help="let searches give the metadata of neighbours too",
    )
    parser.add_argument(
        "--examples",
        metavar="FILE",
        nargs="+",
        help="JPEG or PNG files such as will be asked for: for a server to warm up "
        "with (default: a grey one); for devices, to compare answers on (default: "
        "noise) and for --quantize int8",
    )
    parser.add_argument(
        "--version", type=int, metavar="N", help="number (default: the next free one)"
    )
    parser.add_argument(
        "--quantize",
        choices=("float16", "dynamic", "int8"),
        help="of format lite_rt: weights of 16 bits, weights of 8 bits, or all of 8 "
        "bits, which needs --examples, some 100",
    )
    add_option(parser, "-k", 10, "neighbours that a search gives")


def run(args):
    _check_options(args)
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "tensorflow"

    from kerasdml import zoo

    embedder = zoo.load(args.model)
    write = _write_saved_model if args.format == "saved_model" else _write_file
    try:
        print(write(args, embedder))
    except RuntimeError as error:
        # Another backend is running, or what was converted answers wrongly.
        raise ValueError(str(error)) from error


def _check_options(args):
    if args.quantize and args.format != "lite_rt":
        raise ValueError("--quantize is of --format lite_rt.")
    given = [name for name in _OF_SAVED_MODEL if getattr(args, name)]
    if given and args.format != "saved_model":
        raise ValueError(
            f"--{given[0]} is of --format saved_model: a file of format {args.format} "
            "holds the embedder alone."
        )
    if args.quantize == "int8" and not args.examples:
        raise ValueError(
            "--quantize int8 needs --examples, some 100 images such as the embedder "
            "will get. --quantize dynamic needs none."
        )


def _write_saved_model(args, embedder):
    from kerasdml import export

    path = export.saved_model(
        embedder,
        args.out,
        index=_index(args.index, embedder),
        version=_next_version(args.out) if args.version is None else args.version,
        k=args.k,
        calibration=_calibration(args.calibration),
        examples=args.examples,
        return_metadata=args.metadata,
    )
    return f"{path} is ready. Serve it: kerasdml serve {args.out}"


def _write_file(args, embedder):
    from kerasdml import export

    options = {"images": _images(args.examples, embedder)}
    if args.format == "lite_rt":
        options["quantize"] = args.quantize
    written = getattr(export, args.format)(embedder, args.out, **options)
    return (
        f"{written.path} has {written.size:,} bytes. Its embeddings are Keras' to "
        f"{written.error:.0e}."
    )


def _images(paths, embedder):
    """The images of files as the embedder takes them; None of None."""
    if paths is None:
        return None

    import numpy as np

    from kerasdml import data

    *size, channels = embedder.input_shape[1:]
    batches = data.images(paths, size=tuple(size), channels=channels)
    return np.concatenate(list(batches.as_numpy_iterator()))


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
