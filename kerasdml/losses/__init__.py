"""Losses: what pulls embeddings of one class together and pushes classes apart.

`PairLoss` and `ProxyLoss` are what a loss of your own builds on.
"""

from kerasdml.losses.arc_face import ArcFace
from kerasdml.losses.base import MetricLoss as MetricLoss
from kerasdml.losses.base import PairLoss as PairLoss
from kerasdml.losses.base import ProxyLoss as ProxyLoss
from kerasdml.losses.binomial_deviance import BinomialDeviance
from kerasdml.losses.circle import Circle
from kerasdml.losses.contrastive import Contrastive
from kerasdml.losses.contrastive_bayesian import ContrastiveBayesian
from kerasdml.losses.cos_face import CosFace
from kerasdml.losses.lifted_structure import LiftedStructure
from kerasdml.losses.multi_similarity import MultiSimilarity
from kerasdml.losses.multiple_negatives_ranking import MultipleNegativesRanking
from kerasdml.losses.n_pairs import NPairs
from kerasdml.losses.nca import NCA
from kerasdml.losses.normalized_softmax import NormalizedSoftmax
from kerasdml.losses.nt_xent import NTXent
from kerasdml.losses.proxy_anchor import ProxyAnchor
from kerasdml.losses.proxy_nca import ProxyNCA
from kerasdml.losses.sub_center_arc_face import SubCenterArcFace
from kerasdml.losses.sum import Sum
from kerasdml.losses.sup_con import SupCon
from kerasdml.losses.triplet import Triplet
from kerasdml.losses.weighted_pairs import WeightedPairs

__all__ = [
    "ArcFace",
    "BinomialDeviance",
    "Circle",
    "Contrastive",
    "ContrastiveBayesian",
    "CosFace",
    "LiftedStructure",
    "MultiSimilarity",
    "MultipleNegativesRanking",
    "NCA",
    "NPairs",
    "NTXent",
    "NormalizedSoftmax",
    "ProxyAnchor",
    "ProxyNCA",
    "SubCenterArcFace",
    "Sum",
    "SupCon",
    "Triplet",
    "WeightedPairs",
]
