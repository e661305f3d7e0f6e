"""What is known of each published embedder."""

import dataclasses
import fnmatch
import hashlib
import json
import pathlib
import re

CARDS = pathlib.Path(__file__).with_name("cards.json")
WEIGHTS = pathlib.Path(__file__).with_name("weights")  # those that are package data

_NAME = re.compile(r"[a-z0-9_-]+\.[a-z0-9_-]+")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.keras")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SIMILARITIES = ("cosine", "dot", "euclidean")
_PROVENANCE = ("data_set", "split", "seeds")


@dataclasses.dataclass(frozen=True)
class Input:
    """What an embedder does with an image, so that others can do the same.

    The preprocessing is inside the embedder, which takes pixels in 0 … 255 and
    computes `(pixels * scale - mean) / std`; only the resize to `size` happens before.

    Args:
        size: `(height, width)` in pixels.
        channels: 1 for grey, 3 for RGB.
        scale: Factor on the pixels.
        mean: Subtracted after `scale`: one number, or one per channel.
        std: Divides what is left: one number, or one per channel.
        interpolation: The resize of training and evaluation, as in `tf.image.resize`.
    """

    size: tuple[int, int]
    channels: int
    scale: float = 1.0
    mean: float | tuple[float, ...] = 0.0
    std: float | tuple[float, ...] = 1.0
    interpolation: str = "bilinear"

    def __post_init__(self):
        # JSON gives lists back; a card read again equals the card written.
        for name in ("size", "mean", "std"):
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))

    def __str__(self):
        height, width = self.size
        return (
            f"{height} x {width} x {self.channels}, {self.interpolation}; "
            f"(pixels * {self.scale:.6g} - {self.mean}) / {self.std} inside"
        )


@dataclasses.dataclass(frozen=True)
class Card:
    """A published embedder: where it is, what it takes and gives, what it is worth.

    Args:
        name: `architecture.method_dataset`.
        description: One sentence for whoever chooses among embedders.
        file: Name of the `.keras` file, without a folder.
        sha256: Its SHA-256, 64 hexadecimal digits.
        bytes: Its size in bytes.
        architecture: The backbone, as `models.Embedder` names it.
        dim: Embedding size.
        input: The `Input`: size, channels, preprocessing.
        similarity: What the embeddings are compared by: "cosine", "dot" or
            "euclidean".
        metrics: `data_set`, `split` and `seeds` (how many runs), and the figures
            reached there by name, such as `recall_at_1`.
        recipe: The script that trained it.
        data_licence: Licence of the training data.
        weights_licence: Licence of the weights.
        versions: Versions it was trained with, by package.
        url: Where the file lies, or `None` if only the package (or a `source=`) has it.

    Raises:
        ValueError: If a field cannot be right, whatever the embedder.
    """

    name: str
    description: str
    file: str
    sha256: str
    bytes: int
    architecture: str
    dim: int
    input: Input
    similarity: str
    metrics: dict
    recipe: str
    data_licence: str
    weights_licence: str
    versions: dict
    url: str | None = None

    def __post_init__(self):
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                "`name` must be `architecture.method_dataset`, in lower case. "
                f"Received: name={self.name!r}."
            )
        if not _FILE.fullmatch(self.file):
            raise ValueError(
                "`file` must be the name of a `.keras` file, without a folder. "
                f"Received: file={self.file!r}."
            )
        if not _SHA256.fullmatch(self.sha256):
            raise ValueError(
                "`sha256` must be 64 hexadecimal digits in lower case. "
                f"Received: sha256={self.sha256!r}."
            )
        if self.bytes <= 0 or self.dim <= 0:
            raise ValueError(
                "`bytes` and `dim` must be positive. "
                f"Received: bytes={self.bytes}, dim={self.dim}."
            )
        if self.similarity not in _SIMILARITIES:
            raise ValueError(
                f"`similarity` must be one of {', '.join(_SIMILARITIES)}. "
                f"Received: similarity={self.similarity!r}."
            )
        if missing := [key for key in _PROVENANCE if key not in self.metrics]:
            raise ValueError(
                "`metrics` must say where its figures come from: "
                f"{', '.join(_PROVENANCE)}. Missing: {', '.join(missing)}."
            )

    def __str__(self):
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        width = max(map(len, fields))
        return "\n".join(f"{key:<{width}}  {_show(x)}" for key, x in fields.items())


def _show(value):
    """A card's field in words."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {x}" for key, x in value.items())
    return "none" if value is None else str(value)


def names(pattern: str | None = None) -> list[str]:
    """Lists the published embedders, sorted.

    Args:
        pattern: Shell wildcards that a name must match, such as `"conv4*"`; case
            does not count. `None` lists all.

    Returns:
        Their names; an empty list if none matches.

    Example:

    >>> kerasdml.zoo.names("*omniglot")
    """
    return sorted(
        name
        for name in _read(CARDS)
        if pattern is None or fnmatch.fnmatchcase(name, pattern.lower())
    )


def card(name: str) -> Card:
    """Looks up what is known of a published embedder.

    Args:
        name: One of `names()`.

    Returns:
        Its `Card`; `print` shows it as a table.

    Raises:
        ValueError: If there is no embedder of that name.

    Example:

    >>> print(kerasdml.zoo.card("conv4.multi_similarity_omniglot"))
    """
    cards = _read(CARDS)
    if name not in cards:
        raise ValueError(
            f"Unknown model {name!r}. "
            f"Published models: {', '.join(sorted(cards)) or 'none yet'}. "
            "A path to a `.keras` file works too: zoo.load(path)."
        )
    return cards[name]


def write_card(card: Card, path: str | pathlib.Path | None = None) -> None:
    """Adds a card to a `cards.json`, or replaces the card of the same name.

    The file is the same whatever order cards were added in.

    Args:
        card: The card.
        path: The file to write, made if it is missing. Default: the package's own.

    Example:

    >>> embedder.save(WEIGHTS / file)
    >>> write_card(Card(name=..., file=file, **fingerprint(WEIGHTS / file), ...))
    """
    path = pathlib.Path(path or CARDS)
    cards = _read(path) if path.exists() else {}
    cards[card.name] = card
    entries = {name: dataclasses.asdict(x) for name, x in cards.items()}
    for entry in entries.values():
        del entry["name"]  # the key says it
    path.write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n")


def fingerprint(path: str | pathlib.Path) -> dict:
    """Measures a weights file for its card.

    Args:
        path: The file.

    Returns:
        `{"sha256": 64 hexadecimal digits, "bytes": size}`.
    """
    with pathlib.Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"sha256": digest, "bytes": file.tell()}


def _read(path):
    """The cards of a `cards.json` by name."""
    return {
        name: Card(**{**entry, "name": name, "input": Input(**entry["input"])})
        for name, entry in json.loads(path.read_text()).items()
    }
