"""Embed images into an .npz of embeddings, labels and ids.

Labels are the names of the classes. Ids are paths below DATA where it is a folder, and
positions in it otherwise.

Example:

  kerasdml embed conv4.multi_similarity_omniglot photos/ --out photos.npz
"""

import pathlib

from kerasdml.cli.arguments import add_model_and_data
from kerasdml.cli.outputs import new_file
from kerasdml.cli.sources import embed_pack, folder_of, names_of, read_pack, rows_of


def add_arguments(parser):
    add_model_and_data(parser, split="all")
    parser.add_argument("--out", metavar="FILE.npz", required=True, help="to write")


def run(args):
    out = new_file(args.out)
    pack = read_pack(args.data)
    rows = rows_of(pack, args.split, args.test_fraction)
    pack = pack.subset(rows)

    import numpy as np

    from kerasdml import zoo

    embeddings = embed_pack(zoo.load(args.model), pack)
    labels = names_of(pack)
    folder = folder_of(args.data)
    ids = rows if isinstance(pack.images, np.ndarray) else _below(folder, pack.images)
    with out.open("wb") as file:
        np.savez(file, embeddings=embeddings, labels=labels, ids=ids)
    print(f"{out} has {len(embeddings)} embeddings of size {embeddings.shape[1]}.")


def _below(folder, paths):
    return [str(pathlib.Path(path).relative_to(folder)) for path in paths]
