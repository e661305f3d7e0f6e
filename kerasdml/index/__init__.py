"""Indexes: which stored embeddings are most similar to a query.

`Exact`, `Scann` and `Sharded` have one interface. `kerasdml.export.saved_model` puts
any of them into a served model.
"""

import os
from typing import Any

from kerasdml.index import files
from kerasdml.index.base import Index, newest
from kerasdml.index.exact import Exact
from kerasdml.index.files import versions
from kerasdml.index.items import fingerprint
from kerasdml.index.scann import Scann
from kerasdml.index.sharded import Sharded

__all__ = ["Exact", "Index", "Scann", "Sharded", "fingerprint", "load", "versions"]


def load(
    path: str | os.PathLike,
    dim: int | None = None,
    *,
    version: int | None = None,
    embedder: Any = None,
    mmap: bool = False,
) -> Index:
    """Reads an index of any class that `save` wrote.

    Args:
        path: Its directory, or that of one of its versions.
        dim: The embedding size it must have, such as your embedder's; None for any.
        version: Which version; None for the newest.
        embedder: The Keras model, or its fingerprint, that must have made the
            embeddings; None for any.
        mmap: Whether arrays stay on disk until they are needed, as `Index.load` says.

    Returns:
        The `Exact`, `Scann` or `Sharded` index.

    Raises:
        FileNotFoundError: If there is no index, or no such version, at `path`.
        ImportError: If the index is a `Scann` and the scann package is missing.
        ValueError: If its class is unknown, its embedding size or embedder is another,
            or a file is missing or was changed.

    Example:

    >>> index = kerasdml.index.load("gallery.index", embedder=embedder)
    """
    classes = {"Exact": Exact, "Scann": Scann, "Sharded": Sharded}
    name = files.read_manifest(newest(path, version))["class"]
    if name not in classes:
        raise ValueError(
            f"{str(path)!r} holds an index of unknown class {name!r}. "
            f"Known classes: {', '.join(classes)}."
        )
    return classes[name].load(path, dim, version=version, embedder=embedder, mmap=mmap)
