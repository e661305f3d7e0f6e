"""Serve an exported model on this machine, as TensorFlow Serving would.

Example:

  kerasdml serve saved_models/photos --port 8501
"""

from kerasdml.cli.arguments import add_option


def add_arguments(parser):
    parser.add_argument("path", metavar="PATH", help="exported model")
    add_option(parser, "--host", "127.0.0.1", "address; 0.0.0.0 is open to all")
    add_option(parser, "--port", 8501, "0 for any free one")
    parser.add_argument("--name", help="in URLs (default: the last folder of PATH)")


def run(args):
    from kerasdml import serving

    serving.serve(args.path, host=args.host, port=args.port, name=args.name)
