"""Cars-196: Krause et al., 3dRR 2013."""

import numpy as np

from kerasdml.data.benchmarks.official import require
from kerasdml.data.packs import Pack

COUNTS = {"train": (8054, 98), "test": (8131, 98)}
TRAIN_CLASSES = 98


def read(root):
    images, classes, names = (
        _one_folder(root) if (root / "cars_annos.mat").exists() else _two_folders(root)
    )
    labels = np.array(classes).astype(int) - 1
    return Pack(
        images=[str(image) for image in images],
        labels=labels,
        class_names=names.astype(str),
        split=(labels >= TRAIN_CLASSES).astype(int),
    )


def _one_folder(root):
    content = _matlab(root / "cars_annos.mat")
    rows = content["annotations"]
    images = [root / file for file in rows["relative_im_path"]]
    return images, rows["class"], content["class_names"]


def _two_folders(root):
    """The later release: images that classifiers train and test on lie apart."""
    lists = {
        "cars_train": "devkit/cars_train_annos.mat",
        "cars_test": "cars_test_annos_withlabels.mat",
    }
    if not any((root / file).exists() for file in (*lists.values(), "devkit")):
        require(root, "cars_annos.mat")
    require(root, *lists.values(), "devkit/cars_meta.mat")
    images, classes = [], []
    for folder, file in lists.items():
        rows = _matlab(root / file)["annotations"]
        images += [root / folder / name for name in rows["fname"]]
        classes += list(rows["class"])
    return images, classes, _matlab(root / "devkit/cars_meta.mat")["class_names"]


def _matlab(file):
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ImportError(
            "The annotations of Cars-196 are MATLAB files, which scipy reads: "
            "pip install kerasdml[cars]."
        ) from error
    # A list of one comes squeezed to no axis.
    return {
        name: np.atleast_1d(values)
        for name, values in loadmat(file, squeeze_me=True).items()
    }
