"""From a name to an embedder."""

import os
import pathlib

from kerasdml.zoo.download import download


def load(
    name: str | os.PathLike,
    source: str | os.PathLike | None = None,
    cache_dir: str | os.PathLike | None = None,
):
    """Loads a published embedder, or one of your own from its `.keras` file.

    Published weights are checked against the SHA-256 of their card each time. Weights
    that come with the package need no network.

    Args:
        name: One of `names()`, or a path that ends in `.keras`. The file of a whole
            `MetricModel` gives the embedder inside it.
        source: Where to download from, as in `download`.
        cache_dir: Where to keep downloads, as in `download`.

    Returns:
        The embedder, a `keras.Model` that maps images `(b, h, w, c)` in 0 … 255 to
        embeddings `(b, dim)`.

    Raises:
        ValueError: If no embedder has that name, or its weights are not those of
            the card.
        FileNotFoundError: If there is no file at the path.
        ConnectionError: If the download fails or is interrupted.

    Example:

    >>> embedder = kerasdml.zoo.load("conv4.multi_similarity_omniglot")
    >>> embedder = kerasdml.zoo.load("runs/1/embedder.keras")
    """
    if str(name).endswith(".keras"):
        path = pathlib.Path(name)
        if not path.is_file():
            raise FileNotFoundError(f"There is no model file at {str(path)!r}.")
    else:
        path = download(name, source=source, cache_dir=cache_dir)
    return _read(path)


def _read(path):
    """The embedder in a `.keras` file; Keras is imported when there is one to read."""
    import keras

    # Registers the layers that the file names.
    from kerasdml import layers, models  # noqa: F401

    model = keras.saving.load_model(path, compile=False)
    return model.embedder if isinstance(model, models.MetricModel) else model
