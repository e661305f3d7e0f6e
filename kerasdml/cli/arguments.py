"""Arguments that several commands have."""

SIMILARITIES = ("cosine", "dot", "euclidean")
DATA = (
    "folder with a folder of images for each class, .npz pack, the word glyphs, or a "
    "benchmark of data.load_benchmark and its folder, such as cub200_2011:FOLDER"
)
MODEL = "name in the zoo, or .keras file"


def add_option(parser, flag, default, help, choices=None):
    """Adds an option of the type of its default, which the help shows."""
    parser.add_argument(
        flag,
        type=type(default),
        default=default,
        choices=choices,
        metavar=None if choices else flag.strip("-").replace("-", "_").upper(),
        help=f"{help} (default: %(default)s)",
    )


def add_model_and_data(parser, split, **data):
    """Adds MODEL, DATA, and which part of it to take; `split` by default."""
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    parser.add_argument("data", **{"metavar": "DATA", "help": DATA, **data})
    parts = ("test", "train", "all")
    add_option(parser, "--split", split, "classes to take", choices=parts)
    add_test_fraction(parser)


def add_test_fraction(parser):
    """Adds how much of DATA is for tests, the same for every command."""
    parser.add_argument(
        "--test-fraction",
        type=float,
        metavar="SHARE",
        help="share of the classes to test on (default: the split of the pack if it "
        "has one, else 0.5)",
    )


def parse_versions(word):
    """Which versions to serve: a policy of words, or numbers such as 3,5."""
    return word if word[:1].isalpha() else [int(n) for n in word.split(",")]


def parse_label(word):
    """The label and the number of `LABEL=VERSION`."""
    name, _, number = word.rpartition("=")
    if not name:
        raise ValueError
    return name, int(number)
