"""In-Shop clothes retrieval of DeepFashion: Liu et al., CVPR 2016."""

import numpy as np

from kerasdml.data.benchmarks.official import number, require, table
from kerasdml.data.packs import Pack

COUNTS = {"train": (25882, 3997), "query": (14218, 3985), "gallery": (12612, 3985)}
LIST = "list_eval_partition.txt"


def read(root):
    file = root / LIST if (root / LIST).exists() else root / "Eval" / LIST
    require(root, file.relative_to(root).as_posix())
    # The first line is the number of images, the second names the columns.
    names, items, roles = table(file, 3, header=2)
    unknown = set(roles) - set(COUNTS)
    if unknown:
        raise ValueError(
            f"The last column of {str(file)!r} must be one of {', '.join(COUNTS)}. "
            f"Received: {', '.join(sorted(unknown))}."
        )
    # Names begin with `img/`.
    folder = root / "Img" if (root / "Img" / "img").exists() else root
    labels, class_names = number(items)
    roles = np.array(roles)
    return Pack(
        images=[str(folder / name) for name in names],
        labels=labels,
        class_names=class_names,
        split=(roles != "train").astype(int),
        fields={"role": roles},
    )
