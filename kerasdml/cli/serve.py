"""Serve an exported model on this machine, as TensorFlow Serving would.

REST and gRPC as TF Serving speaks them. New versions in PATH are taken up while
requests are answered. The secret of --token-file is not on the command line, where
others on the machine can read it.

Example:

  kerasdml serve saved_models/photos --port 8501
"""

import pathlib

from kerasdml.cli.arguments import add_option, parse_label, parse_versions
from kerasdml.serving.options import Options

_DEFAULTS = Options()


def add_arguments(parser):
    parser.add_argument("path", metavar="PATH", help="exported model")
    add_option(parser, "--host", "127.0.0.1", "address; 0.0.0.0 is open to all")
    add_option(parser, "--port", 8501, "for REST; 0 for any free one")
    add_option(parser, "--grpc-port", 8500, "for gRPC; 0 for any free one, -1 for none")
    parser.add_argument("--name", help="in URLs (default: the last folder of PATH)")
    parser.add_argument(
        "--versions",
        type=parse_versions,
        default=_DEFAULTS.versions,
        help="latest, latest:N, all, or numbers such as 3,5 (default: %(default)s)",
    )
    parser.add_argument(
        "--label",
        type=parse_label,
        action="append",
        default=[],
        dest="labels",
        metavar="LABEL=VERSION",
        help="name of a version, such as stable=3; may be repeated",
    )
    for flag, what in [
        ("--poll", "seconds between looks for new versions"),
        ("--batch-size", "most rows of one call of the model"),
        ("--batch-wait", "seconds that a request may wait for others"),
        ("--queue", "most requests that wait"),
        ("--concurrency", "most predictions under way"),
        ("--timeout", "longest that a request may take, in seconds"),
        ("--max-body", "largest request, in bytes"),
        ("--max-pixels", "largest image"),
    ]:
        name = flag.strip("-").replace("-", "_")
        add_option(parser, flag, getattr(_DEFAULTS, name), what)
    parser.add_argument(
        "--token-file", type=pathlib.Path, help="file of the secret requests must bear"
    )
    parser.add_argument("--certificate", help="PEM file of the chain, for TLS")
    parser.add_argument("--key", help="PEM file of its private key")


def run(args):
    from kerasdml import serving

    options = vars(args).copy()
    where = {name: options.pop(name) for name in ("path", "host", "port", "name")}
    grpc_port = options.pop("grpc_port")
    token_file = options.pop("token_file")
    del options["run"]
    serving.serve(
        **where,
        grpc_port=None if grpc_port < 0 else grpc_port,
        token=token_file and token_file.read_text().strip(),
        **options | {"labels": dict(args.labels)},
    )
