"""Trains one small network with every objective, all alike, and measures each.

One recipe for all: conv4 at 28 × 28, 64 numbers, 400 steps of Adam at 0.003, batches of
32 classes × 4, no augmentation. The rate is one of two (0.01 was the other) that
MultiSimilarity and ArcFace were tried with on a quarter of the training classes, and
proxies have the same, since for ArcFace and ProxyAnchor three and ten times as much
were worse there; nothing else was tuned, so this is no ranking of the methods.
Trained on Omniglot's background set; the last weights are measured, once, on its 659
unseen characters.

Losses without labels train, as in their papers, through two further layers of 256 that
are left out in the end, on two variations of each drawing; SimSiam by its paper's
gradient descent, since with Adam it ended below the untrained network. Several tags and
two modalities are those of aerial pictures, and of sketches and photos, too few to
train a network: a linear layer is trained on the features of a frozen MobileNetV2.

    KERASDML_DATA=folder python zoo/train_losses.py
    KERASDML_DATA=folder python zoo/train_losses.py --only Circle ArcFace
    python zoo/train_losses.py --table

A row a run goes into `zoo/results.csv` as soon as it is there; runs that have a row are
skipped, so that this can be stopped and go on.
"""

import argparse
import dataclasses
import itertools
import os
import pathlib
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import results

import kerasdml
from kerasdml import losses, miners, regularizers

RECIPE = "zoo/train_losses.py"
SIZE, DIM, STEPS = 28, 64, 400


@dataclasses.dataclass
class Objective:
    """What is trained, and how it departs from the common recipe.

    Attributes:
        make: Function of the number of classes to the loss; `None` trains nothing.
        normalize: Whether the network gives unit vectors.
        similarity: How the embeddings are compared in the end.
        data: Which data set, a key of `DATA`.
        optimizer: Function that returns the optimizer.
    """

    make: Callable | None
    normalize: bool = True
    similarity: str = "cosine"
    data: str = "omniglot"
    optimizer: Callable = lambda: keras.optimizers.Adam(3e-3)


def plain(name, **arguments):
    return Objective(lambda classes: getattr(losses, name)(**arguments))


def raw(name, compared, **arguments):
    """Of embeddings that are not unit vectors, in the end `compared` by a similarity.

    N-pairs are trained by dot products and compared by cosine: by dot products the
    same embeddings find the longest, not the nearest.
    """
    return dataclasses.replace(
        plain(name, **arguments), normalize=False, similarity=compared
    )


def proxies(name, **arguments):
    return Objective(
        lambda classes: getattr(losses, name)(num_classes=classes, **arguments)
    )


def mined(miner, name="Contrastive", **arguments):
    return plain(name, miner=miner, **arguments)


def beside(name, weight, **arguments):
    """What only adds to another loss, added to the contrastive."""
    return Objective(
        lambda classes: (
            losses.Contrastive() + weight * getattr(losses, name)(**arguments)
        )
    )


def regularized(regularizer, name="NormalizedSoftmax"):
    return proxies(name, regularizer=regularizer)


def without_labels(name, **arguments):
    return dataclasses.replace(
        plain(name, **arguments), normalize=False, data="omniglot, two views"
    )


def with_tags(name, **arguments):
    return dataclasses.replace(plain(name, **arguments), data="land use, tags")


def of_sketches(make):
    return Objective(make, data="sketches and photos")


OBJECTIVES = {
    # One of each, in the order of the documentation; then further forms.
    "untrained network": Objective(None),
    "Contrastive": plain("Contrastive"),
    "Triplet": plain("Triplet"),
    "Triplet(negatives='semi_hard')": plain("Triplet", negatives="semi_hard"),
    "Triplet(negatives='hard')": plain("Triplet", negatives="hard"),
    "Triplet(negatives='hard', margin='soft')": plain(
        "Triplet", negatives="hard", margin="soft"
    ),
    "Triplet(negatives='hard', swap=True)": plain(
        "Triplet", negatives="hard", swap=True
    ),
    "Triplet(similarity='squared_euclidean', margin=0.2)": plain(
        "Triplet", similarity="squared_euclidean", margin=0.2
    ),
    "CentroidTriplet": plain("CentroidTriplet"),
    "Quadruplet": plain("Quadruplet"),
    "Margin": plain("Margin"),
    "Margin(num_classes), miners.DistanceWeighted": Objective(
        lambda classes: losses.Margin(
            num_classes=classes, miner=miners.DistanceWeighted()
        )
    ),
    "MultiSimilarity": plain("MultiSimilarity"),
    "WeightedPairs": plain("WeightedPairs"),
    "BinomialDeviance": plain("BinomialDeviance"),
    "LiftedStructure": raw("LiftedStructure", "euclidean"),
    "GeneralizedLiftedStructure": raw("GeneralizedLiftedStructure", "euclidean"),
    "NPairs": raw("NPairs", "cosine"),
    "NPairs(mode='ovo')": raw("NPairs", "cosine", mode="ovo"),
    "MultipleNegativesRanking": plain("MultipleNegativesRanking"),
    "NTXent": plain("NTXent"),
    "SupCon": plain("SupCon"),
    "NCA": plain("NCA"),
    "SoftNearestNeighbor": plain("SoftNearestNeighbor"),
    "Angular": plain("Angular"),
    "Circle": plain("Circle"),
    "RankedList": plain("RankedList"),
    "TupletMargin": plain("TupletMargin"),
    "TupletMargin + 0.5 * IntraPairVariance": Objective(
        lambda classes: losses.TupletMargin() + 0.5 * losses.IntraPairVariance()
    ),
    "ContrastiveBayesian": plain("ContrastiveBayesian"),
    "StructuredGaussian": raw("StructuredGaussian", "euclidean"),
    "DynamicSoftMargin": plain("DynamicSoftMargin"),
    "SmoothAP": plain("SmoothAP"),
    "RecallAtK": plain("RecallAtK"),
    "FastAP": plain("FastAP"),
    "PNP": plain("PNP"),
    "Histogram": plain("Histogram"),
    "NormalizedSoftmax": proxies("NormalizedSoftmax"),
    "CosFace": proxies("CosFace"),
    "ArcFace": proxies("ArcFace"),
    "SubCenterArcFace": proxies("SubCenterArcFace"),
    "SphereFace": proxies("SphereFace"),
    "SphereFace(scale=None, margin=4, plain=5)": dataclasses.replace(
        proxies("SphereFace", scale=None, margin=4, plain=5), normalize=False
    ),
    "LargeMarginSoftmax": dataclasses.replace(
        proxies("LargeMarginSoftmax"), normalize=False
    ),
    "AdaCos": proxies("AdaCos"),
    "CurricularFace": proxies("CurricularFace"),
    "AdaFace": dataclasses.replace(proxies("AdaFace"), normalize=False),
    "MagFace": dataclasses.replace(proxies("MagFace"), normalize=False),
    "P2SGrad": proxies("P2SGrad"),
    "ProxyNCA": proxies("ProxyNCA"),
    "DynamicProxyNCA": plain("DynamicProxyNCA"),
    "ProxyAnchor": proxies("ProxyAnchor"),
    "MultiProxiesAnchor": proxies("MultiProxiesAnchor"),
    "SoftTriple": proxies("SoftTriple"),
    "Instance": plain("Instance"),
    "Manifold": proxies("Manifold"),
    "NormalizedSoftmax + 0.01 * Center": Objective(
        lambda classes: (
            losses.NormalizedSoftmax(num_classes=classes)
            + 0.01 * losses.Center(num_classes=classes)
        )
    ),
    "presets.multi_head": Objective(losses.presets.multi_head),
    "Contrastive + ThresholdConsistentMargin": beside("ThresholdConsistentMargin", 1.0),
    "Contrastive + 0.1 * SecondOrderSimilarity": beside("SecondOrderSimilarity", 0.1),
    "Contrastive + 0.1 * KoLeo": beside("KoLeo", 0.1),
    "Contrastive + GlobalOrthogonal": beside("GlobalOrthogonal", 1.0),
    "Contrastive + ZeroMean": beside("ZeroMean", 1.0),
    "NPairs + 0.001 * EmbeddingNorm": Objective(
        lambda classes: (
            losses.NPairs(l2_weight=0.0) + 0.001 * losses.EmbeddingNorm(power=2.0)
        ),
        normalize=False,
    ),
    "VICReg": without_labels("VICReg"),
    "BarlowTwins": without_labels("BarlowTwins"),
    "SimSiam": dataclasses.replace(
        without_labels("SimSiam"),
        optimizer=lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    ),
    "Triplet, miners.MultiLabel, tags": with_tags(
        "Triplet", similarity="squared_euclidean", miner=miners.MultiLabel(), margin=0.5
    ),
    "ModalityAwareTriplet": of_sketches(lambda classes: losses.ModalityAwareTriplet()),
    "NormalizedSoftmax + ModalityAwareTriplet": of_sketches(
        lambda classes: (
            losses.NormalizedSoftmax(num_classes=classes)
            + losses.ModalityAwareTriplet()
        )
    ),
    # Further forms.
    "MultiSimilarity, miners.MultiSimilarity": mined(
        miners.MultiSimilarity(), "MultiSimilarity"
    ),
    "MultipleNegativesRanking(symmetric=True)": plain(
        "MultipleNegativesRanking", symmetric=True
    ),
    "ContrastiveBayesian(aggregation='sqrt')": plain(
        "ContrastiveBayesian", aggregation="sqrt"
    ),
    "ContrastiveBayesian(aggregation='const')": plain(
        "ContrastiveBayesian", aggregation="const"
    ),
    "Contrastive(similarity='signal_to_noise')": raw(
        "Contrastive",
        "signal_to_noise",
        similarity="signal_to_noise",
        margin=-0.5,
        positive_margin=-0.01,
    ),
    "Contrastive(similarity='manhattan')": plain(
        "Contrastive", similarity="manhattan", margin=-4.0, positive_margin=0.0
    ),
    "Contrastive(similarity='hyperbolic')": raw(
        "Contrastive",
        "hyperbolic",
        similarity="hyperbolic",
        margin=-2.0,
        positive_margin=0.0,
    ),
    "ProxyNCA(include_positive=False)": proxies("ProxyNCA", include_positive=False),
    "MultiProxiesAnchor(aggregation='data')": proxies(
        "MultiProxiesAnchor", aggregation="data"
    ),
    "MultiProxiesAnchor(aggregation='mixed')": proxies(
        "MultiProxiesAnchor", aggregation="mixed"
    ),
    "NormalizedSoftmax, regularizers.RegularFace": regularized(
        regularizers.RegularFace()
    ),
    "NormalizedSoftmax, regularizers.CenterInvariant": regularized(
        regularizers.CenterInvariant()
    ),
    "SubCenterArcFace, regularizers.SparseCenters": regularized(
        regularizers.SparseCenters(per_class=3), "SubCenterArcFace"
    ),
    **{
        f"Contrastive, miners.{type(miner).__name__}": mined(miner)
        for miner in (
            miners.Angular(),
            miners.BatchEasyHard(),
            miners.BatchHard(),
            miners.DistanceWeighted(),
            miners.HDC(),
            miners.MultiSimilarity(),
            miners.NHardest(),
            miners.PairMargin(),
            miners.SemiHard(),
            miners.TripletMargin(),
            miners.UniformHistogram(),
        )
    },
    "NTXent, two views": without_labels("NTXent"),
    "untrained network, tags": Objective(None, data="land use, tags"),
    "Contrastive, tags": with_tags("Contrastive"),
    "MultiSimilarity, tags": with_tags("MultiSimilarity"),
    "untrained network, modalities": of_sketches(None),
    "MultiSimilarity, modalities": of_sketches(
        lambda classes: losses.MultiSimilarity()
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=OBJECTIVES, help="by name")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--table", action="store_true", help="print what there is")
    arguments = parser.parse_args()
    if arguments.table:
        print_table()
        return
    folder = os.environ.get("KERASDML_DATA")
    if not folder:
        parser.error("set KERASDML_DATA to the folder of omniglot.npz and the others")
    sets = {}
    for name in arguments.only or OBJECTIVES:
        if (name, str(arguments.seed), str(arguments.steps)) in rows_there():
            continue
        objective = OBJECTIVES[name]
        if objective.data not in sets:
            sets[objective.data] = DATA[objective.data](pathlib.Path(folder))
        row = measure(name, objective, sets[objective.data], arguments)
        results.append(row)
        print(
            f"{name:<40} recall@1 {row['recall_at_1']:.4f}  "
            f"MAP@R {row['map_at_r']:.4f}  {row['seconds']:.0f} s",
            flush=True,
        )


def measure(name, objective, data, arguments):
    keras.utils.set_random_seed(arguments.seed)
    start = time.time()
    embedder = data.embedder(objective.normalize)
    if objective.make:
        train(data.trained(embedder), objective, data, arguments)
    found = data.evaluate(embedder, objective.similarity)
    return results.row(
        name=name,
        recipe=RECIPE,
        seed=arguments.seed,
        data_set=data.name,
        split=f"{data.split}; no split chose the checkpoint",
        steps=arguments.steps,
        seconds=time.time() - start,
        found={key: found[key] for key in results.RETRIEVAL},
    )


def train(embedder, objective, data, arguments):
    model = kerasdml.MetricModel(embedder, similarity=objective.similarity)
    model.compile(objective.optimizer(), loss=objective.make(data.classes))
    batches = data.batches(arguments.seed)
    model.fit(batches, steps_per_epoch=arguments.steps, verbose=0)


class Omniglot:
    """Characters: 964 to train on, 659 that are not seen."""

    name = "Omniglot, 13,180 drawings of 659 characters"
    split = "official evaluation set"

    def __init__(self, folder):
        pack = kerasdml.data.load_pack(folder / "omniglot.npz")
        pack = dataclasses.replace(pack, images=small(pack, SIZE))
        self.background = pack.subset(np.flatnonzero(pack.split == 0))
        self.unseen = pack.subset(np.flatnonzero(pack.split == 1))
        self.labels, names = kerasdml.data.encode(
            self.background.labels, return_classes=True
        )
        self.classes = len(names)

    def embedder(self, normalize):
        return kerasdml.models.Embedder(
            "conv4", dim=DIM, input_shape=(SIZE, SIZE, 1), normalize=normalize
        )

    def trained(self, embedder):
        """Returns what the loss sees: the embedder, or more."""
        return embedder

    def batches(self, seed):
        return kerasdml.data.images(
            self.background.images,
            self.labels,
            size=SIZE,
            batches=kerasdml.data.balanced_batches(self.labels, 32, 4, seed=seed),
        )

    def evaluate(self, embedder, similarity):
        images = kerasdml.data.images(self.unseen, size=SIZE, batch_size=256)
        embeddings, labels = kerasdml.models.embed(embedder, images)
        return kerasdml.metrics.retrieval(embeddings, labels, similarity=similarity)


class TwoViews(Omniglot):
    """The same characters, without their classes: two variations of each drawing."""

    def trained(self, embedder):
        layers = keras.layers
        hidden = [layers.Dense(256), layers.BatchNormalization(), layers.ReLU()]
        last = [layers.Dense(256), layers.BatchNormalization()]
        return keras.Sequential([embedder, *hidden, *last])

    def batches(self, seed):
        drawings = np.arange(len(self.labels))
        return kerasdml.data.images(
            self.background.images,
            size=SIZE,
            views=2,
            batches=kerasdml.data.balanced_batches(drawings, 64, 1, seed=seed),
            augment=kerasdml.data.Augment(
                flip=False,
                scale=(0.7, 1.3),
                shift=0.1,
                rotate=20,
                shear=15,
                outside="black",
            ),
            seed=seed,
        )


class Features:
    """Data that come as the features of a frozen network, of which `(n, 1280)`."""

    def embedder(self, normalize):
        layers = [keras.Input((1280,)), keras.layers.Dense(DIM)]
        if normalize:
            layers.append(kerasdml.layers.L2Normalization())
        return keras.Sequential(layers)

    def trained(self, embedder):
        return embedder

    def of(self, folder, pack):
        """Returns the features of a pack's images."""
        network = kerasdml.models.Embedder(
            "mobilenet_v2",
            weights=folder / "weights/mobilenet_v2_1.0_224_imagenet.npz",
            input_shape=(96, 96, 3),
        )
        network = keras.Model(network.input, network.get_layer("embedding").input)
        images = kerasdml.data.images(pack.images, size=96, batch_size=64)
        return network.predict(images, verbose=0)


class LandUse(Features):
    """Aerial pictures with several tags each; compared by the kind of scene."""

    name = "UC Merced, 420 pictures of 21 scenes"
    split = "every fifth picture; classes are not disjoint"
    classes = None

    def __init__(self, folder):
        pack = kerasdml.data.load_pack(folder / "ucmerced_multilabel.npz")
        features = self.of(folder, pack)
        seen = pack.split == 0
        self.seen, self.tags = features[seen], pack.fields["multilabels"][seen]
        self.unseen = features[~seen], pack.labels[~seen]

    def batches(self, seed):
        order = np.arange(len(self.seen))  # one of each "class": shuffled batches
        batches = kerasdml.data.balanced_batches(order, 128, 1, seed=seed)
        for rows in itertools.chain.from_iterable(map(batches, itertools.count())):
            yield self.seen[rows], self.tags[rows]

    def evaluate(self, embedder, similarity):
        features, labels = self.unseen
        embeddings = embedder.predict(features, verbose=0)
        return kerasdml.metrics.retrieval(embeddings, labels, similarity=similarity)


class SketchesAndPhotos(Features):
    """Sketches and photos of 75 things; sketches of 24 others look for their photos."""

    name = "QuickDraw sketches as queries, photos as gallery, 24 classes"
    split = "unseen classes"

    def __init__(self, folder):
        pack = kerasdml.data.load_pack(folder / "quickdraw_photo.npz", part="both")
        features, modality = self.of(folder, pack), pack.fields["modality"]
        seen = pack.split == 0
        self.seen, self.modality = features[seen], modality[seen]
        self.labels, names = kerasdml.data.encode(
            pack.labels[seen], return_classes=True
        )
        self.classes = len(names)
        self.unseen = [
            (features[rows], pack.labels[rows])
            for rows in (~seen & (modality == one) for one in (0, 1))
        ]

    def batches(self, seed):
        batches = kerasdml.data.two_modality_batches(
            self.labels, self.modality, classes=16, per_modality=4, seed=seed
        )
        for rows in itertools.chain.from_iterable(map(batches, itertools.count())):
            fields = {"label": self.labels[rows], "modality": self.modality[rows]}
            yield self.seen[rows], fields

    def evaluate(self, embedder, similarity):
        (queries, labels), (gallery, gallery_labels) = (
            (embedder.predict(features, verbose=0), labels)
            for features, labels in self.unseen
        )
        return kerasdml.metrics.retrieval(
            queries,
            labels,
            gallery=gallery,
            gallery_labels=gallery_labels,
            similarity=similarity,
        )


DATA = {
    "omniglot": Omniglot,
    "omniglot, two views": TwoViews,
    "land use, tags": LandUse,
    "sketches and photos": SketchesAndPhotos,
}


def small(pack, size):
    """Returns the images at `size`, made once for all runs."""
    images = kerasdml.data.images(pack.images, size=size, batch_size=1024)
    return np.concatenate([np.rint(batch).astype("uint8") for batch in images])


def rows_there():
    return {(row["name"], row["seed"], row["steps"]) for row in results.rows(RECIPE)}


def print_table():
    """Prints the rows as documentation shows them, the best of each data set first."""
    rows = results.rows(RECIPE)
    for data_set in dict.fromkeys(row["data_set"] for row in rows):
        print(f"\n{data_set}:\n\n| objective | recall@1 | MAP@R |\n|---|---|---|")
        own = [row for row in rows if row["data_set"] == data_set]
        for row in sorted(own, key=lambda row: -float(row["recall_at_1"])):
            recall, precision = (float(row[x]) for x in ("recall_at_1", "map_at_r"))
            longer = f", {row['steps']} steps" if row["steps"] != str(STEPS) else ""
            print(f"| {row['name']}{longer} | {recall:.3f} | {precision:.3f} |")


if __name__ == "__main__":
    main()
