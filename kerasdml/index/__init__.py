"""Indexes: which stored embeddings are most similar to a query.

`Exact` and `Scann` have one interface. `kerasdml.export.saved_model` puts either into
a served model.
"""

import os

from kerasdml.index import files
from kerasdml.index.base import Index
from kerasdml.index.exact import Exact
from kerasdml.index.scann import Scann

__all__ = ["Exact", "Index", "Scann", "load"]


def load(path: str | os.PathLike, dim: int | None = None) -> Index:
    """Reads an index of any class that `save` wrote.

    Args:
        path: Its directory.
        dim: The embedding size it must have, such as your embedder's; None for any.

    Returns:
        The `Exact` or `Scann` index.

    Raises:
        FileNotFoundError: If there is no index at `path`.
        ImportError: If the index is a `Scann` and the scann package is missing.
        ValueError: If its class is unknown, its embedding size is another, or a file
            is missing or was changed.

    Example:

    >>> index = kerasdml.index.load("gallery.index", dim=embedder.output_shape[-1])
    """
    classes = {"Exact": Exact, "Scann": Scann}
    name = files.read_manifest(path)["class"]
    if name not in classes:
        raise ValueError(
            f"{str(path)!r} holds an index of unknown class {name!r}. "
            f"Known classes: {', '.join(classes)}."
        )
    return classes[name].load(path, dim=dim)
