"""Write a directory from which TensorFlow Serving serves exported models.

For Docker Compose and for Kubernetes, with batching, probes and monitoring; its
README.md has the commands. Models stay where they are. With several, --versions and
--label take the name of one before a slash: --versions photos/3,4.

Example:

  kerasdml deploy deployments/photos served/photos --versions all --label stable=1
"""

import pathlib

from kerasdml.cli.arguments import parse_label, parse_versions


def add_arguments(parser):
    parser.add_argument("path", metavar="PATH", help="directory to write")
    parser.add_argument(
        "models",
        nargs="+",
        metavar="[NAME=]MODEL",
        help="what kerasdml export wrote, and its name (default: its last folder)",
    )
    parser.add_argument(
        "--versions",
        type=_versions,
        action="append",
        default=[],
        metavar="[NAME/]VERSIONS",
        help="latest, latest:N, all, or numbers such as 3,5; may be repeated "
        "(default: latest)",
    )
    parser.add_argument(
        "--label",
        type=_label,
        action="append",
        default=[],
        dest="labels",
        metavar="[NAME/]LABEL=VERSION",
        help="name of a version, such as stable=3; may be repeated",
    )
    parser.add_argument(
        "--image", help="of the server (default: one that fits the models)"
    )
    parser.add_argument(
        "--force", action="store_true", help="write over an earlier deployment"
    )


def run(args):
    from kerasdml import deploy

    homes = [_home(word) for word in args.models]
    _check_names(args, [name for name, _ in homes])
    versions = {"": "latest"} | dict(args.versions)
    models = [
        deploy.read(
            home,
            name,
            versions=versions.get(name, versions[""]),
            labels={
                label: number
                for owner, label, number in args.labels
                if owner in ("", name)
            },
        )
        for name, home in homes
    ]
    path = deploy.write(args.path, models, image=args.image, force=args.force)
    print(f"{path} is ready. {path / 'README.md'} has the commands.")


def _home(word):
    name, equals, home = word.partition("=")
    if not equals or "/" in name:
        return pathlib.Path(word).resolve().name, word
    return name, home


def _versions(word):
    name, _, policy = word.rpartition("/")
    return name, parse_versions(policy)


def _label(word):
    name, _, rest = word.rpartition("/")
    return name, *parse_label(rest)


def _check_names(args, names):
    for owner, *_ in (*args.versions, *args.labels):
        if owner and owner not in names:
            raise ValueError(
                f"--versions and --label name a model {owner!r}, which is not "
                f"deployed. Those that are: {', '.join(names)}."
            )
