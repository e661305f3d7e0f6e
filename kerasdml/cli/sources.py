"""What the arguments MODEL and DATA stand for."""

import pathlib

# Lengths of the lists that the literature reports recall of.
BENCHMARK_KS = {
    "cars196": (1, 2, 4, 8),
    "cub200_2011": (1, 2, 4, 8),
    "in_shop": (1, 10, 20, 30, 40),
    "omniglot": (1, 10),
    "stanford_online_products": (1, 10, 100, 1000),
}


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
    if benchmark_of(source):
        return data.load_benchmark(benchmark_of(source), folder_of(source))
    raise ValueError(
        "DATA must be a folder with a folder of images for each class, an .npz pack, "
        "the word glyphs, or a benchmark and its folder such as cub200_2011:FOLDER, "
        f"one of {', '.join(BENCHMARK_KS)}. Received: {source}."
    )


def benchmark_of(source):
    """Returns the name of the benchmark that DATA is, as NAME:FOLDER; else None."""
    name, colon, _ = source.partition(":")
    return name if colon and name in BENCHMARK_KS else None


def folder_of(source):
    """Returns the folder that DATA names, without the name of a benchmark."""
    return source.partition(":")[2] if benchmark_of(source) else source


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
        _check_disjoint(pack)
        return np.flatnonzero(pack.split == side)
    return data.class_disjoint_split(pack.labels)[side]


def _check_disjoint(pack):
    """Raises if a class is both trained on and tested on, which flatters."""
    import numpy as np

    both = np.intersect1d(*(pack.labels[pack.split == side] for side in (0, 1)))
    if both.size:
        raise ValueError(
            f"The split of DATA has {both.size} classes both to train on and to test "
            f"on, the first: {pack.class_names[both[0]]}. Test classes must be new: "
            "--test-fraction 0.5 splits by class instead."
        )


def queries_and_gallery(pack):
    """Returns the queries of a pack and what they search.

    The gallery is None where the queries search one another, as in every pack but one
    whose images all have the role of query or gallery, as In-Shop's test images do.
    """
    import numpy as np

    roles = np.asarray(pack.fields.get("role", ()))
    if set(roles.tolist()) != {"query", "gallery"}:
        return pack, None
    return tuple(
        pack.subset(np.flatnonzero(roles == role)) for role in ("query", "gallery")
    )


def embed_both(embedder, queries, gallery=None, verbose=1):
    """Returns what `metrics.evaluate` takes: embeddings and labels of both.

    Those of the gallery are None where there is none. Classes of a gallery are matched
    by their names, since it may be of other data.
    """
    if gallery is None:
        return embed_pack(embedder, queries, verbose), queries.labels, None, None
    return tuple(
        each
        for pack in (queries, gallery)
        for each in (embed_pack(embedder, pack, verbose), names_of(pack))
    )


def names_of(pack):
    """Returns the name of the class of every image of a pack, `(n,)`."""
    import numpy as np

    return np.asarray(pack.class_names, dtype=str)[pack.labels]


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
