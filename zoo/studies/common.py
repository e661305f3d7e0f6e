"""What studies share: features of real pictures, heads trained on them, batches."""

import dataclasses
import itertools
import os
import pathlib
import tempfile

import keras
import numpy as np

import kerasdml

DIM = 64


@dataclasses.dataclass(frozen=True)
class Features:
    """Pictures as features of a network that is not trained.

    Attributes:
        name: Of what is measured on.
        split: Which part of the data set that is.
        seen: `(n, f)` float32, to train on.
        labels: `(n,)` class ids 0 … classes - 1.
        unseen: `(m, f)` float32, to measure on.
        unseen_labels: `(m,)` integers.
    """

    name: str
    split: str
    seen: np.ndarray
    labels: np.ndarray
    unseen: np.ndarray
    unseen_labels: np.ndarray

    @property
    def classes(self):
        return int(self.labels.max()) + 1

    def held_out(self):
        """Returns the last quarter of the training classes in place of unseen ones."""
        kept = self.labels < 3 * self.classes // 4
        return Features(
            name="training classes alone",
            split="last quarter of the training classes",
            seen=self.seen[kept],
            labels=self.labels[kept],
            unseen=self.seen[~kept],
            unseen_labels=self.labels[~kept],
        )

    def with_labels(self, labels):
        """Returns the same, with other labels to train by."""
        return dataclasses.replace(self, labels=labels)

    def evaluate(self, embedder, similarity="cosine"):
        """Returns figures of retrieval among the unseen."""
        embeddings = embedder.predict(self.unseen, batch_size=512, verbose=0)
        return kerasdml.metrics.retrieval(
            embeddings,
            self.unseen_labels,
            metrics=("recall_at_k", "r_precision", "map_at_r"),
            similarity=similarity,
        )

    def batches(self, seed, classes=16, per_class=4):
        """Yields `(features, {"label", "index"})`, balanced, without an end."""
        batches = kerasdml.data.balanced_batches(
            self.labels, classes, per_class, seed=seed
        )
        for rows in itertools.chain.from_iterable(map(batches, itertools.count())):
            yield self.seen[rows], {"label": self.labels[rows], "index": rows}


class Relabelled(keras.utils.PyDataset):
    """The batches of an epoch of `data.cluster_batches`, with the labels of its day.

    Args:
        features: `(n, f)`.
        batches: What callbacks relabel.
    """

    def __init__(self, features, batches):
        super().__init__()
        self.features = features
        self.batches = batches
        self.epoch = 0

    def __len__(self):
        return self.batches.steps

    def __getitem__(self, step):
        rows = self.batches(self.epoch)[step]
        return self.features[rows], self.batches.labels[rows]

    def on_epoch_end(self):
        self.epoch += 1


def head(data, dim=DIM, hidden=(), normalize=True):
    """Returns a small network on the features: what a study trains."""
    layers = [keras.Input(data.seen.shape[1:])]
    layers += [keras.layers.Dense(units, activation="relu") for units in hidden]
    layers += [keras.layers.Dense(dim)]
    layers += [kerasdml.layers.L2Normalization()] if normalize else []
    return keras.Sequential(layers)


def train(embedder, loss, data, seed, steps, **options):
    """Trains by Adam at 0.001 on balanced batches of 16 classes × 4.

    Args:
        embedder: What is trained.
        loss: A loss of `kerasdml.losses`.
        data: `Features`.
        seed: Of the batches; seed the weights before `embedder` is made.
        steps: Steps of training.
        **options: `optimizer`, `epochs` (into which the steps are divided),
            `callbacks`, `batches`.

    Returns:
        The `MetricModel`.
    """
    model = kerasdml.MetricModel(embedder)
    model.compile(options.get("optimizer") or keras.optimizers.Adam(1e-3), loss=loss)
    epochs = options.get("epochs", 1)
    model.fit(
        options.get("batches") or data.batches(seed),
        steps_per_epoch=steps // epochs,
        epochs=epochs,
        callbacks=options.get("callbacks"),
        verbose=0,
    )
    return model


class SameClasses(Features):
    """`Features` whose unseen pictures are of the classes trained on."""

    def held_out(self):
        """Returns a third of the training pictures in place of unseen ones."""
        kept = np.arange(len(self.labels)) % 3 > 0
        return dataclasses.replace(
            self,
            name="training pictures alone",
            split="every third training picture",
            seen=self.seen[kept],
            labels=self.labels[kept],
            unseen=self.seen[~kept],
            unseen_labels=self.labels[~kept],
        )


def mobilenet(folder, file, size, name, split, kind=Features):
    """Returns the data set of a pack, as features of MobileNetV2 (ImageNet)."""
    pack = kerasdml.data.load_pack(folder / file)
    features = kept(f"{pathlib.Path(file).stem}-{size}", lambda: of(folder, pack, size))
    seen = pack.split == 0
    return kind(
        name=name,
        split=split,
        seen=features[seen],
        labels=kerasdml.data.encode(pack.labels[seen]),
        unseen=features[~seen],
        unseen_labels=pack.labels[~seen].astype("int64"),
    )


def of(folder, pack, size):
    """Returns `(n, 1280)` features of a pack's pictures."""
    network = kerasdml.models.Embedder(
        "mobilenet_v2",
        weights=folder / "weights/mobilenet_v2_1.0_224_imagenet.npz",
        input_shape=(size, size, 3),
    )
    network = keras.Model(network.input, network.get_layer("embedding").input)
    images = kerasdml.data.images(pack.images, size=size, batch_size=64, channels=3)
    return network.predict(images, verbose=0)


def kept(name, make):
    """Returns an array that is made once, and then read from the temporary folder."""
    folder = pathlib.Path(tempfile.gettempdir()) / "kerasdml-features"
    file = folder / f"{name}.npy"
    if not file.exists():
        folder.mkdir(exist_ok=True)
        whole = file.with_suffix(f".{os.getpid()}.npy")
        np.save(whole, make())
        whole.rename(file)
    return np.load(file)


DATA = {
    "flowers": lambda folder: mobilenet(
        folder,
        "flowers102.npz",
        96,
        "Flowers-102, 2,526 photos of 51 classes, features of MobileNetV2",
        "last 51 classes",
    ),
    "groceries": lambda folder: mobilenet(
        folder,
        "grocery_store.npz",
        96,
        "Grocery Store, 2,223 photos of 46 classes, features of MobileNetV2",
        "odd coarse classes",
    ),
    "faces": lambda folder: mobilenet(
        folder,
        "fer2013_subset.npz",
        96,
        "FER2013, 3,589 faces of 7 expressions, features of MobileNetV2",
        "official private test set, of the classes trained on",
        SameClasses,
    ),
}
