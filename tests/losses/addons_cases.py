"""Losses of TensorFlow Addons and what to write instead.

`tests/addons` compares them where Addons is installed and keeps its values in
`addons_values.json`, with which `test_peer_values.py` compares anywhere.
"""

from collections.abc import Callable
from typing import NamedTuple

from keras import ops

from kerasdml import losses
from tests.losses.comparisons import LAYOUTS, WITHOUT_ALONE


class Case(NamedTuple):
    """A loss of Addons and its equal.

    Attributes:
        name: Of the class in `tensorflow_addons.losses`.
        arguments: Of its constructor.
        loss: What gives the same value of `labels (q,)` and `embeddings (q, d)`.
        factor: What to multiply that value by.
        layouts: The layouts of `LAYOUTS` on which they are equal.
        normalized: Whether both are to be given the embeddings normalised.
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
