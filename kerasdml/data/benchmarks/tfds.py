"""Benchmarks as TensorFlow Datasets has prepared them."""

import numpy as np

from kerasdml.data.packs import Pack

# What it calls each of them, and their labels. It has no In-Shop.
NAMES = {
    "cars196": ("cars196", "label"),
    "cub200_2011": ("caltech_birds2011", "label"),
    "omniglot": ("omniglot", "label"),
    "stanford_online_products": ("stanford_online_products", "class_id"),
}


def read(name, root, train_classes=None):
    """Lists a benchmark, and writes its images into a folder where they are not yet.

    Args:
        name: Which benchmark, one of `NAMES`.
        root: The folder, made where missing.
        train_classes: How many classes, the first, are to train on; None: as the data
            set is split.

    Returns:
        A `Pack`.
    """
    if name not in NAMES:
        names = ", ".join(repr(x) for x in NAMES)
        raise ValueError(
            f'`source="tfds"` is for {names}. TensorFlow Datasets has no {name!r}.'
        )
    tfds = _tensorflow_datasets()
    own_name, label = NAMES[name]
    builder = tfds.builder(own_name)
    images, labels, split = [], [], []
    for side, part in enumerate(("train", "test")):
        folder = root / name / part
        folder.mkdir(parents=True, exist_ok=True)
        examples = builder.as_dataset(
            split=part, decoders={"image": tfds.decode.SkipDecoding()}
        )
        for i, example in enumerate(examples.as_numpy_iterator()):
            images.append(_file(folder / f"{i:06}.jpg", example["image"]))
            labels.append(example[label])
            split.append(side)
    labels = np.array(labels, int)
    if train_classes is not None:
        split = labels >= train_classes
    return Pack(
        images=images,
        labels=labels,
        class_names=np.array(builder.info.features[label].names),
        split=np.array(split, int),
    )


def _file(path, content):
    if not path.exists() or path.stat().st_size != len(content):
        path.write_bytes(content)
    return str(path)


def _tensorflow_datasets():
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise ImportError(
            '`source="tfds"` needs TensorFlow Datasets: pip install kerasdml[tfds].'
        ) from error
    return tensorflow_datasets
