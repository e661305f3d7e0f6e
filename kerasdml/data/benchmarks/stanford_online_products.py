"""Stanford Online Products: Oh Song et al., CVPR 2016."""

import numpy as np

from kerasdml.data.benchmarks.official import number, require, table
from kerasdml.data.packs import Pack

COUNTS = {"train": (59551, 11318), "test": (60502, 11316)}
LISTS = ("Ebay_train.txt", "Ebay_test.txt")


def read(root):
    require(root, *LISTS)
    images, classes, kinds, split = [], [], [], []
    for side, name in enumerate(LISTS):
        _, own_classes, own_kinds, files = table(root / name, 4, header=1)
        images += [str(root / file) for file in files]
        classes += own_classes
        kinds += own_kinds
        split += [side] * len(files)
    labels, names = number(classes)
    return Pack(
        images=images,
        labels=labels,
        class_names=names,
        split=np.array(split),
        fields={"coarse_labels": np.array(kinds).astype(int) - 1},
    )
