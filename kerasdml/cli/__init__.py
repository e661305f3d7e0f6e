"""The `kerasdml` command: each part of the library from a shell.

A command is a module with `add_arguments(parser)` and `run(args)`. The first line of
its docstring is its help, the whole its description. What it needs is imported inside
`run`, so that `kerasdml --help` is quick.
"""

import argparse
import os
import sys

from kerasdml.cli import (
    calibrate,
    deploy,
    embed,
    evaluate,
    export,
    index,
    search,
    serve,
    train,
    zoo_download,
    zoo_list,
    zoo_show,
)
from kerasdml.serving.errors import ServingError
from kerasdml.version import __version__

_COMMANDS = {
    "train": train,
    "evaluate": evaluate,
    "calibrate": calibrate,
    "embed": embed,
    "index": index,
    "search": search,
    "export": export,
    "serve": serve,
    "deploy": deploy,
}
_ZOO_COMMANDS = {"list": zoo_list, "show": zoo_show, "download": zoo_download}


def main(argv=None):
    """Runs the `kerasdml` command.

    Args:
        argv: Words after `kerasdml`; default: those of the shell.

    Returns:
        0 if all went well; 2 after an error of the user's, told in one line on stderr.

    Example:

    >>> kerasdml.cli.main(["zoo", "list"])
    """
    args = _parser().parse_args(argv)
    # TensorFlow's notes on this machine's processor are not for this command's users.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        args.run(args)
    except (ValueError, OSError, ImportError, ServingError) as error:
        print(f"kerasdml: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130  # 128 + SIGINT, as shells have it
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        "kerasdml",
        description="Deep metric learning: from images to a served index.",
        epilog="kerasdml COMMAND --help explains a command, with an example.",
    )
    parser.add_argument(
        "--version", action="version", version=f"kerasdml {__version__}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_commands(commands, _COMMANDS)
    summary = "List, show or download published embedders."
    zoo = commands.add_parser("zoo", help=summary, description=summary)
    _add_commands(zoo.add_subparsers(required=True, metavar="COMMAND"), _ZOO_COMMANDS)
    return parser


def _add_commands(commands, modules):
    for name, module in modules.items():
        parser = commands.add_parser(
            name,
            help=module.__doc__.partition("\n")[0],
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.set_defaults(run=module.run)
        module.add_arguments(parser)
