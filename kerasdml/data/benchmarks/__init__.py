"""The field's benchmarks, from their official files on disk."""

import os
import pathlib

from kerasdml.data.benchmarks import (
    cars196,
    cub200_2011,
    in_shop,
    omniglot,
    stanford_online_products,
    tfds,
)
from kerasdml.data.benchmarks.official import (
    check_counts,
    check_disjoint,
    check_files,
)
from kerasdml.data.packs import Pack

BENCHMARKS = {
    "cars196": cars196,
    "cub200_2011": cub200_2011,
    "in_shop": in_shop,
    "omniglot": omniglot,
    "stanford_online_products": stanford_online_products,
}


def load_benchmark(
    name: str, path: str | os.PathLike, check: bool = True, source: str = "files"
) -> Pack:
    """Lists a benchmark of the field, split as papers on metric learning split it.

    Nothing is downloaded: `path` is the folder of the official files, unpacked.

    - "cub200_2011": `images.txt`, `image_class_labels.txt`, `classes.txt`, `images/`.
      The first 100 classes train, the last 100 test.
    - "cars196": `cars_annos.mat` and `car_ims/`; or `cars_train/`, `cars_test/`,
      `cars_test_annos_withlabels.mat` and, in `devkit/`, `cars_train_annos.mat` and
      `cars_meta.mat`. The first 98 classes train, the last 98 test.
    - "stanford_online_products": `Ebay_train.txt`, `Ebay_test.txt` and the folders they
      list. The field "coarse_labels" has the 12 kinds of products.
    - "in_shop": `list_eval_partition.txt`, or `Eval/list_eval_partition.txt`; `img/`,
      or `Img/img/`. The field "role" is "train", "query" or "gallery": the last two
      are the test, the queries searched in the gallery.
    - "omniglot": `images_background/`, which train, and `images_evaluation/`. The
      fields are "alphabet_labels" and "drawer". Ink is black, on white.

    The data sets' own splits of CUB-200-2011 and Cars-196, for classification, have
    all classes on both sides and are not these.

    Args:
        name: Which benchmark, as above.
        path: The folder that has these files.
        check: Whether every image must be there, and each part of the split have the
            official numbers of images and classes. False reads a part of a benchmark.
        source: "files", or "tfds": what TensorFlow Datasets has prepared, but In-Shop,
            which it does not have. Its images are written into `path`, once, as the
            files they were; there are no fields.

    Returns:
        A `Pack` whose images are paths; `split` is 0 to train on and 1 to test on, and
        no class is on both sides.

    Raises:
        FileNotFoundError: If a file is not there, by name.
        ImportError: If Cars-196 is read without scipy, or `source="tfds"` without
            TensorFlow Datasets.
        ValueError: If the name is unknown, a list is not in the official form, a class
            is on both sides, or the numbers are not the official ones.

    Example:

    >>> birds = kerasdml.data.load_benchmark("cub200_2011", "CUB_200_2011")
    >>> train = birds.subset(np.flatnonzero(birds.split == 0))
    """
    if name not in BENCHMARKS:
        names = ", ".join(repr(x) for x in BENCHMARKS)
        raise ValueError(f"`name` must be one of {names}. Received: {name!r}.")
    if source not in ("files", "tfds"):
        raise ValueError(f"`source` must be 'files' or 'tfds'. Received: {source!r}.")
    benchmark, path = BENCHMARKS[name], pathlib.Path(path)
    if source == "tfds":
        classes = getattr(benchmark, "TRAIN_CLASSES", None)
        pack = tfds.read(name, path, classes)
    else:
        pack = benchmark.read(path)
    check_disjoint(pack)
    if check:
        check_files(pack)
        check_counts(pack, benchmark.COUNTS)
    return pack
