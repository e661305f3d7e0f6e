"""Embed images into an .npz of embeddings, labels and ids, or several.

Labels are the names of the classes. Ids are paths below DATA where it is a folder, and
positions in it otherwise.

Example:

  kerasdml embed conv4.multi_similarity_omniglot photos/ --out photos.npz

A large collection goes to a folder, of --shards files. DATA may then also be a list of
image files (.txt or .tsv: a path a line, and if wanted a tab and a label), or TFRecord
files. The same command goes on with what was interrupted. With --runner the shards are
embedded by the workers of Apache Beam, into the same files:

  kerasdml embed runs/1/embedder.keras photos.tsv --out photos --shards 100 \\
    --runner DirectRunner --beam --direct_num_workers 2 \\
    --direct_running_mode multi_processing
  kerasdml index photos/*.npz --out photos.index
"""

import argparse
import pathlib

from kerasdml.cli.arguments import DATA, add_model_and_data, add_option
from kerasdml.cli.outputs import new_file
from kerasdml.cli.sources import embed_pack, folder_of, names_of, read_pack, rows_of

# Options of a folder of files, and what they are where nothing is said.
_SHARDED = {
    "shards": 1,
    "batch_size": 64,
    "skip_damaged": False,
    "image_key": "image/encoded",
    "id_key": None,
    "label_key": None,
    "runner": None,
    "beam": [],
}


def add_arguments(parser):
    add_model_and_data(
        parser,
        split="all",
        nargs="+",
        help=f"{DATA}; to a folder: folder, list or TFRecord files",
    )
    parser.add_argument(
        "--out",
        metavar="FILE.npz|FOLDER",
        required=True,
        help="to write: one new file, or a folder of --shards files",
    )
    _add_sharded(parser.add_argument_group("to a folder"))


def _add_sharded(parser):
    add_option(parser, "--shards", _SHARDED["shards"], "files to write")
    add_option(parser, "--batch-size", _SHARDED["batch_size"], "images at once")
    parser.add_argument(
        "--skip-damaged",
        action="store_true",
        help="leave out images that are missing or cannot be read, and list them "
        "beside the file",
    )
    image = "feature of TFRecords with the image"
    add_option(parser, "--image-key", _SHARDED["image_key"], image)
    parser.add_argument(
        "--id-key",
        metavar="KEY",
        help="feature with the id; '' for file and position (default: image/filename "
        "if the first record has it)",
    )
    parser.add_argument(
        "--label-key",
        metavar="KEY",
        help="feature with the label; '' for none (default: image/class/text or "
        "image/class/label, which the first record has)",
    )
    parser.add_argument(
        "--runner",
        help="Apache Beam runner, such as DirectRunner (default: none, this process)",
    )
    parser.add_argument(
        "--beam",
        nargs=argparse.REMAINDER,
        default=_SHARDED["beam"],
        metavar="WORD",
        help="all further words are options of Beam",
    )


def run(args):
    if args.out.endswith(".npz"):
        _embed_to_file(args)
    else:
        _embed_to_folder(args)


def _embed_to_file(args):
    given = [name for name, default in _SHARDED.items() if vars(args)[name] != default]
    if given or len(args.data) > 1:
        flags = [f"--{name.replace('_', '-')}" for name in given]
        raise ValueError(
            f"{', '.join(flags) or 'More than one DATA'} needs --out FOLDER. "
            f"Received: --out {args.out}."
        )
    out, source = new_file(args.out), args.data[0]
    pack = read_pack(source)
    rows = rows_of(pack, args.split, args.test_fraction)
    pack = pack.subset(rows)

    import numpy as np

    from kerasdml import index, zoo

    model = zoo.load(args.model)
    embeddings = embed_pack(model, pack)
    labels = names_of(pack)
    folder = folder_of(source)
    ids = rows if isinstance(pack.images, np.ndarray) else _below(folder, pack.images)
    arrays = {"embeddings": embeddings, "labels": labels, "ids": ids}
    with out.open("wb") as file:
        np.savez(file, **arrays, embedder=index.fingerprint(model))
    print(f"{out} has {len(embeddings)} embeddings of size {embeddings.shape[1]}.")


def _embed_to_folder(args):
    if args.split != "all" or args.test_fraction is not None:
        raise ValueError(
            "--split and --test-fraction need --out FILE.npz: a folder is of all DATA."
        )
    if args.beam and not args.runner:
        raise ValueError("--beam needs --runner, such as --runner DirectRunner.")

    from kerasdml import bulk

    options = {name: vars(args)[name] for name in _SHARDED if name != "beam"}
    written = bulk.embed(
        args.model,
        args.data[0] if len(args.data) == 1 else args.data,
        args.out,
        **options,
        runner_options=args.beam,
    )
    files = f"{len(written.paths)} file{'s' if len(written.paths) > 1 else ''}"
    print(f"{args.out} has {written.embeddings} embeddings in {files}.")
    if written.damaged:
        print(
            f"{written.damaged} images could not be read and were left out: "
            f"{args.out}/*.damaged.tsv lists them."
        )


def _below(folder, paths):
    return [str(pathlib.Path(path).relative_to(folder)) for path in paths]
