"""List the published embedders.

Example:

  kerasdml zoo list "conv4*"
"""


def add_arguments(parser):
    parser.add_argument("pattern", metavar="PATTERN", nargs="?", help="with wildcards")


def run(args):
    from kerasdml import zoo

    for name in zoo.names(args.pattern):
        print(f"{name}  {zoo.card(name).description}")
