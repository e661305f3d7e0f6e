"""Losses of pytorch-metric-learning and what to write instead.

`test_pytorch_metric_learning.py` compares them where it is installed and
`record_pytorch_metric_learning.py` keeps its values, with which `test_peer_values.py`
compares anywhere. `docs/migration.md` is the list with the reasons.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from kerasdml import losses, miners, regularizers
from tests.losses.comparisons import LAYOUTS, WITHOUT_ALONE

CLASSES = 8
VIEWS = np.tile(np.arange(8), 2)
# `miners.BatchHard`, if an anchor without positives is to keep no negative either.
HARDEST = miners.BatchEasyHard(positives="hard", negatives="hard")


class Case(NamedTuple):
    """A loss of pytorch-metric-learning and its equal.

    Attributes:
        theirs: How it is written there, of names in `losses`, `distances`, `reducers`
            and `regularizers`.
        loss: What gives the same value of `labels (q,)` and `embeddings (q, d)`.
        miner: The miner there, written alike, whose pairs it is given.
        factor: What to multiply that value by.
        layouts: The layouts of `LAYOUTS` on which they are equal.
        normalized: Whether both are to be given the embeddings normalised.
        rtol: How far the values may be apart.
    """

    theirs: str
    loss: Callable
    miner: str | None = None
    factor: float = 1.0
    layouts: tuple = tuple(LAYOUTS)
    normalized: bool = False
    rtol: float = 1e-5

    @property
    def name(self):
        return self.theirs.partition("(")[0]

    def __str__(self):
        return f"{self.theirs}, {self.miner}" if self.miner else self.theirs


def of_views(loss):
    """The loss of a batch that is the first views, then the second ones."""
    return lambda labels, embeddings: loss(VIEWS, embeddings)


def of_instances(loss):
    return lambda labels, embeddings: loss(np.arange(len(labels)), embeddings)


def of_points(regularizer):
    return lambda labels, embeddings: regularizer(embeddings)


PAIRS = [
    Case(
        "TripletMarginLoss()",
        losses.Triplet(similarity="euclidean", margin=0.05),
        normalized=True,
    ),
    Case(
        "TripletMarginLoss(margin=.1, distance=CosineSimilarity())",
        losses.Triplet(margin=0.1),
    ),
    Case(
        "TripletMarginLoss(margin=.2)",
        losses.Triplet(
            negatives="hard", similarity="euclidean", margin=0.2, average="active"
        ),
        miner="BatchHardMiner()",
        normalized=True,
    ),
    Case(
        "TripletMarginLoss(margin=0, smooth_loss=True)",
        losses.Triplet(negatives="hard", similarity="euclidean", margin="soft"),
        miner="BatchHardMiner()",
        normalized=True,
    ),
    Case(
        "ContrastiveLoss(reducer=SumReducer())",
        losses.Contrastive(
            similarity="euclidean", margin=-1.0, positive_margin=0.0, reduction="sum"
        ),
        normalized=True,
    ),
    Case(
        "ContrastiveLoss(pos_margin=1, neg_margin=.5, distance=CosineSimilarity(), "
        "reducer=SumReducer())",
        losses.Contrastive(reduction="sum"),
    ),
    Case(
        "SignalToNoiseRatioContrastiveLoss(reducer=SumReducer())",
        losses.Contrastive(
            similarity="signal_to_noise",
            margin=-1.0,
            positive_margin=0.0,
            reduction="sum",
        ),
        normalized=True,
    ),
    Case("LiftedStructureLoss()", losses.LiftedStructure(), normalized=True),
    Case(
        "LiftedStructureLoss(neg_margin=.7, pos_margin=.2)",
        losses.LiftedStructure(margin=0.5),
        normalized=True,
    ),
    Case(
        "LiftedStructureLoss(distance=LpDistance(normalize_embeddings=False))",
        losses.LiftedStructure(),
    ),
    Case(
        "GeneralizedLiftedStructureLoss()",
        losses.GeneralizedLiftedStructure(),
        layouts=WITHOUT_ALONE,
        normalized=True,
    ),
    Case(
        "NPairsLoss()",
        losses.NPairs(l2_weight=0.0, similarity="cosine"),
        layouts=("pairs",),
    ),
    Case(
        "NPairsLoss(distance=DotProductSimilarity(normalize_embeddings=False))",
        losses.NPairs(l2_weight=0.0),
        layouts=("pairs",),
    ),
    Case("MultiSimilarityLoss()", losses.MultiSimilarity(beta=50.0)),
    Case(
        "MultiSimilarityLoss()",
        losses.MultiSimilarity(beta=50.0, miner=miners.MultiSimilarity()),
        miner="MultiSimilarityMiner()",
    ),
    Case("NTXentLoss()", losses.NTXent()),
    Case("SelfSupervisedLoss(NTXentLoss())", of_views(losses.NTXent())),
    Case("SupConLoss()", losses.SupCon(average="active")),
    Case("CircleLoss()", losses.Circle(average="active")),
    Case("NCALoss(softmax_scale=10)", losses.NCA(temperature=1 / 20, average="active")),
    Case(
        "NCALoss(distance=LpDistance(normalize_embeddings=False, power=2))",
        losses.SoftNearestNeighbor(average="active"),
    ),
    Case("TupletMarginLoss()", losses.TupletMargin()),
    Case(
        "IntraPairVarianceLoss(pos_eps=.02, neg_eps=.03)",
        losses.IntraPairVariance(positive_slack=0.02, negative_slack=0.03),
    ),
    Case(
        "ThresholdConsistentMarginLoss(lambda_plus=2, lambda_minus=3, margin_plus=.8, "
        "margin_minus=.1)",
        losses.ThresholdConsistentMargin(
            positive_weight=2.0,
            negative_weight=3.0,
            positive_margin=0.8,
            negative_margin=0.1,
        ),
    ),
    Case("AngularLoss()", losses.Angular(alpha=40.0), normalized=True),
    Case(
        "RankedListLoss(margin=.4, Tn=0, alpha=1.2)",
        losses.RankedList(sharpness=0.0),
        normalized=True,
        rtol=2e-4,
    ),
    Case("InstanceLoss(gamma=8)", of_instances(losses.Instance(scale=8.0))),
    Case(
        "MarginLoss(learn_beta=True)",
        losses.Margin(miner=HARDEST),
        miner="BatchHardMiner()",
        normalized=True,
    ),
    Case(
        f"MarginLoss(learn_beta=True, num_classes={CLASSES}, margin=.4)",
        losses.Margin(margin=0.4, num_classes=CLASSES, miner=HARDEST),
        miner="BatchHardMiner()",
        normalized=True,
    ),
    Case(
        "MultipleLosses([MultiSimilarityLoss(), NTXentLoss()], weights=[1, .5])",
        losses.MultiSimilarity(beta=50.0) + 0.5 * losses.NTXent(),
    ),
]

RANKINGS = [
    Case(
        "SmoothAPLoss()",
        losses.SmoothAP(include_anchor=True),
        layouts=("four of each",),
    ),
    *(
        Case(
            f"PNPLoss(variant={variant!r})",
            losses.PNP(variant=variant, include_anchor=True),
            layouts=WITHOUT_ALONE,
        )
        for variant in ("O", "Iu", "Ib", "Ds", "Dq")
    ),
    Case("FastAPLoss()", losses.FastAP(), layouts=WITHOUT_ALONE),
    Case("HistogramLoss()", losses.Histogram(bins=100)),
]

OF_CLASSES = f"num_classes={CLASSES}, embedding_size=8"
PROXIES = [
    Case(
        f"NormalizedSoftmaxLoss({OF_CLASSES})",
        losses.NormalizedSoftmax(num_classes=CLASSES),
    ),
    Case(f"CosFaceLoss({OF_CLASSES})", losses.CosFace(num_classes=CLASSES)),
    Case(
        f"ArcFaceLoss({OF_CLASSES})",
        losses.ArcFace(num_classes=CLASSES, margin=math.radians(28.6)),
    ),
    Case(
        f"SubCenterArcFaceLoss({OF_CLASSES})",
        losses.SubCenterArcFace(num_classes=CLASSES, margin=math.radians(28.6)),
    ),
    Case(
        f"SphereFaceLoss({OF_CLASSES})",
        losses.SphereFace(num_classes=CLASSES, scale=None, margin=4),
    ),
    Case(
        f"LargeMarginSoftmaxLoss({OF_CLASSES})",
        losses.LargeMarginSoftmax(num_classes=CLASSES, plain=0),
    ),
    Case(
        f"P2SGradLoss(descriptors_dim=8, num_classes={CLASSES})",
        losses.P2SGrad(num_classes=CLASSES),
        factor=2 / CLASSES,
    ),
    Case(f"ProxyAnchorLoss({OF_CLASSES})", losses.ProxyAnchor(num_classes=CLASSES)),
    Case(
        f"ProxyNCALoss(softmax_scale=9, {OF_CLASSES})",
        losses.ProxyNCA(num_classes=CLASSES),
    ),
    Case(
        f"SoftTripleLoss({OF_CLASSES}, centers_per_class=3)",
        losses.SoftTriple(num_classes=CLASSES, per_class=3, tau=0.0),
    ),
    Case(
        f"SoftTripleLoss({OF_CLASSES}, centers_per_class=3, weight_reg_weight=.2, "
        f"weight_regularizer=SparseCentersRegularizer({CLASSES}, 3))",
        losses.SoftTriple(num_classes=CLASSES, per_class=3),
    ),
    Case(f"ManifoldLoss(l=8, K={CLASSES})", losses.Manifold(num_classes=CLASSES)),
]

REGULARIZERS = [
    Case("VICRegLoss()", of_views(losses.VICReg())),
    Case("LpRegularizer()", losses.EmbeddingNorm()),
    Case("LpRegularizer(p=1, power=2)", losses.EmbeddingNorm(p=1.0, power=2.0)),
    Case("ZeroMeanRegularizer()", losses.ZeroMean()),
    Case(
        "CircleLoss(embedding_regularizer=LpRegularizer(), embedding_reg_weight=.1)",
        losses.Circle(average="active") + 0.1 * losses.EmbeddingNorm(),
    ),
    Case("CenterInvariantRegularizer()", of_points(regularizers.CenterInvariant())),
    Case("RegularFaceRegularizer()", of_points(regularizers.RegularFace())),
    Case(
        "SparseCentersRegularizer(num_classes=8, centers_per_class=2)",
        of_points(regularizers.SparseCenters(per_class=2)),
    ),
]

CASES = [*PAIRS, *RANKINGS, *PROXIES, *REGULARIZERS]
