"""Show all that is known of a published embedder.

Example:

  kerasdml zoo show conv4.multi_similarity_omniglot
"""


def add_arguments(parser):
    parser.add_argument("name", metavar="NAME", help="as kerasdml zoo list has it")


def run(args):
    from kerasdml import zoo

    print(zoo.card(args.name))
