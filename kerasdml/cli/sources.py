"""What the arguments MODEL and DATA stand for."""

import pathlib


def read_pack(source, verbose=1):
    """Returns the images and labels that DATA names."""
    from kerasdml import data

    path = pathlib.Path(source)
    if path.is_dir():
        return data.from_directory(path)
    if path.suffix == ".npz":
        return data.load_pack(path)
    if source == "glyphs":
        return data.glyphs(verbose=verbose)
    raise ValueError(
        "DATA must be a folder with a folder of images for each class, an .npz pack, "
        f"or the word glyphs. Received: {source}."
    )


def rows_of(pack, part, test_fraction=None):
    """Returns the positions of the "train" or "test" classes of a pack, or of "all"."""
    import numpy as np

    from kerasdml import data

    if part == "all":
        return np.arange(len(pack))
    side = ("train", "test").index(part)
    if test_fraction is not None:
        return data.class_disjoint_split(pack.labels, test_fraction)[side]
    if pack.split is not None:
        return np.flatnonzero(pack.split == side)
    return data.class_disjoint_split(pack.labels)[side]


def embed_pack(embedder, pack, verbose=1):
    """Returns the embeddings `(n, d)` of a pack's images, resized to the embedder's."""
    from kerasdml import data, models

    *size, channels = embedder.input_shape[1:]
    images = data.images(pack, size=tuple(size), channels=channels)
    return models.embed(embedder, images, verbose=verbose)[0]


def similarity_of(model):
    """Returns how embeddings of MODEL compare: as its card says, else "cosine"."""
    from kerasdml import zoo

    return zoo.card(model).similarity if model in zoo.names() else "cosine"


def count_classes(pack):
    """Returns the number of classes that a pack has images of."""
    return len(set(pack.labels.tolist()))
