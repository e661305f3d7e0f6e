"""CUB-200-2011: Wah et al., Caltech technical report CNS-TR-2011-001."""

import numpy as np

from kerasdml.data.benchmarks.official import require, table
from kerasdml.data.packs import Pack

COUNTS = {"train": (5864, 100), "test": (5924, 100)}
TRAIN_CLASSES = 100


def read(root):
    require(root, "images.txt", "image_class_labels.txt", "classes.txt", "images")
    ids, files = table(root / "images.txt", 2)
    classes = dict(zip(*table(root / "image_class_labels.txt", 2), strict=True))
    unknown = [image for image in ids if image not in classes]
    if unknown:
        raise ValueError(
            f"image_class_labels.txt has no class for {len(unknown)} images of "
            f"images.txt, the first: {unknown[0]}."
        )
    _, names = table(root / "classes.txt", 2)
    labels = np.array([int(classes[image]) - 1 for image in ids])
    return Pack(
        images=[str(root / "images" / file) for file in files],
        labels=labels,
        class_names=np.array(names),
        split=(labels >= TRAIN_CLASSES).astype(int),
    )
