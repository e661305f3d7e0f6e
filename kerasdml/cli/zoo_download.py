"""Fetch the weights of a published embedder, and print where they are.

An interrupted download is continued by the next call.

Example:

  kerasdml zoo download conv4.multi_similarity_omniglot --source /mnt/zoo
"""


def add_arguments(parser):
    parser.add_argument("name", metavar="NAME", help="as kerasdml zoo list has it")
    parser.add_argument(
        "--source",
        help="folder, file:// or https:// in the place of the card's URL "
        "(default: the environment variable KERASDML_ZOO)",
    )


def run(args):
    from kerasdml import zoo

    print(zoo.download(args.name, source=args.source))
