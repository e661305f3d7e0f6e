"""Losses of TensorFlow Addons, what to write instead, and batches to compare them on.

`tests/addons` compares them where Addons is installed and keeps its values in
`addons_values.json`, with which `test_addons_values.py` compares anywhere.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from keras import ops

from kerasdml import losses

DIM = 8
LAYOUTS = {
    "pairs": np.repeat(np.arange(8), 2),
    "four of each": np.repeat(np.arange(4), 4),
    "uneven": np.repeat(np.arange(4), [2, 3, 4, 7]),
    "one alone": np.repeat(np.arange(4), [1, 4, 5, 6]),
}
WITHOUT_ALONE = ("pairs", "four of each", "uneven")


class Case(NamedTuple):
    """A loss of Addons and its equal.

    Attributes:
        name: Of the class in `tensorflow_addons.losses`.
        arguments: Of its constructor.
        loss: What gives the same value of `labels (q,)` and `embeddings (q, d)`.
        factor: What to multiply that value by.
        layouts: The layouts of `LAYOUTS` on which they are equal.
        normalized: Whether Addons is to be given the embeddings normalised.
    """

    name: str
    arguments: dict
    loss: Callable
    factor: float = 1.0
    layouts: tuple = tuple(LAYOUTS)
    normalized: bool = False

    def __str__(self):
        arguments = ", ".join(f"{k}={v!r}" for k, v in self.arguments.items())
        return f"{self.name}({arguments})"


def squared_contrastive(margin):
    """The contrastive loss of the pairs (0, 1), (2, 3), …, with its terms squared."""
    loss = losses.Contrastive(
        similarity="euclidean", margin=-margin, positive_margin=0.0
    )

    def mean(labels, embeddings):
        difference = embeddings[::2] - embeddings[1::2]
        distances = ops.sqrt(ops.sum(difference**2, axis=1, keepdims=True))
        same = (labels[::2] == labels[1::2])[:, None]
        return ops.mean(loss.pair_loss(-distances, same, ~same) ** 2)

    return mean


def _triplets(name, negatives, **kwargs):
    def equal(**arguments):
        return losses.Triplet(negatives=negatives, **arguments)

    angular, squared = {"distance_metric": "angular"}, {"distance_metric": "squared-L2"}
    return [
        Case(name, {}, equal(similarity="euclidean", margin=1.0), **kwargs),
        Case(name, {"margin": 0.3, **angular}, equal(margin=0.3), **kwargs),
        # |a - b|^2 is 2 - 2 cos of unit vectors.
        Case(
            name,
            {"margin": 0.4, **squared},
            equal(margin=0.2),
            factor=2.0,
            normalized=True,
            **kwargs,
        ),
    ]


def _soft(**kwargs):
    return losses.Triplet(negatives="hard", margin="soft", **kwargs)


CASES = [
    *_triplets("TripletSemiHardLoss", "semi_hard"),
    *_triplets("TripletHardLoss", "hard", layouts=WITHOUT_ALONE),
    Case(
        "TripletHardLoss",
        {"soft": True},
        _soft(similarity="euclidean"),
        layouts=WITHOUT_ALONE,
    ),
    Case(
        "TripletHardLoss",
        {"soft": True, "distance_metric": "angular"},
        _soft(),
        layouts=WITHOUT_ALONE,
    ),
    Case("LiftedStructLoss", {}, losses.LiftedStructure()),
    Case("LiftedStructLoss", {"margin": 0.5}, losses.LiftedStructure(margin=0.5)),
    Case("NpairsLoss", {}, losses.NPairs(l2_weight=0.0), layouts=("pairs",)),
    Case("ContrastiveLoss", {}, squared_contrastive(margin=1.0)),
    Case("ContrastiveLoss", {"margin": 3.0}, squared_contrastive(margin=3.0)),
]


def batch(seed, layout, unit):
    """Draws `labels (16,)` and `embeddings (16, DIM)`, unit vectors or three as long.

    `RandomState`, because its stream is the same in every version of NumPy.
    """
    random = np.random.RandomState(seed)
    labels = LAYOUTS[layout]
    if layout != "pairs":  # of which N-pair losses read every second as the anchor
        labels = random.permutation(labels)
    embeddings = random.normal(size=(labels.size, DIM))
    if unit:
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return labels, embeddings.astype("float32")


def direction(seed):
    """A `(16, DIM)` direction, of which the slope stands for the whole gradient."""
    return np.random.RandomState(seed + 1).normal(size=(16, DIM))


def batches(case, seeds):
    """Lists the `seed, layout, unit` of each batch on which the two are equal."""
    return [
        (seed, layout, unit)
        for seed in seeds
        for layout in case.layouts
        for unit in (True, False)
    ]
