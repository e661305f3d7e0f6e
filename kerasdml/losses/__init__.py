"""Losses: what pulls embeddings of one class together and pushes classes apart.

`PairLoss` and `ProxyLoss` are what a loss of your own builds on.
"""

from kerasdml.losses import presets as presets
from kerasdml.losses.ada_cos import AdaCos
from kerasdml.losses.ada_face import AdaFace
from kerasdml.losses.angular import Angular
from kerasdml.losses.arc_face import ArcFace
from kerasdml.losses.barlow_twins import BarlowTwins
from kerasdml.losses.base import ClassLoss as ClassLoss
from kerasdml.losses.base import MetricLoss as MetricLoss
from kerasdml.losses.base import PairLoss as PairLoss
from kerasdml.losses.base import ProxyLoss as ProxyLoss
from kerasdml.losses.binomial_deviance import BinomialDeviance
from kerasdml.losses.center import Center
from kerasdml.losses.centroid_triplet import CentroidTriplet
from kerasdml.losses.circle import Circle
from kerasdml.losses.contrastive import Contrastive
from kerasdml.losses.contrastive_bayesian import ContrastiveBayesian
from kerasdml.losses.cos_face import CosFace
from kerasdml.losses.curricular_face import CurricularFace
from kerasdml.losses.denoising_multi_similarity import DenoisingMultiSimilarity
from kerasdml.losses.distance_preserving import DistancePreserving
from kerasdml.losses.dynamic_proxy_nca import DynamicProxyNCA
from kerasdml.losses.dynamic_soft_margin import DynamicSoftMargin
from kerasdml.losses.embedding_norm import EmbeddingNorm
from kerasdml.losses.ensemble import DiverseEnsemble, Ensemble
from kerasdml.losses.fast_ap import FastAP
from kerasdml.losses.generalized_lifted_structure import GeneralizedLiftedStructure
from kerasdml.losses.global_orthogonal import GlobalOrthogonal
from kerasdml.losses.hier import HIER
from kerasdml.losses.histogram import Histogram
from kerasdml.losses.instance import Instance
from kerasdml.losses.intra_pair_variance import IntraPairVariance
from kerasdml.losses.koleo import KoLeo
from kerasdml.losses.large_margin_softmax import LargeMarginSoftmax
from kerasdml.losses.lifted_structure import LiftedStructure
from kerasdml.losses.mag_face import MagFace
from kerasdml.losses.manifold import Manifold
from kerasdml.losses.margin import Margin
from kerasdml.losses.modality_aware_triplet import ModalityAwareTriplet
from kerasdml.losses.multi_proxies_anchor import MultiProxiesAnchor
from kerasdml.losses.multi_similarity import MultiSimilarity
from kerasdml.losses.multiple_negatives_ranking import MultipleNegativesRanking
from kerasdml.losses.n_pairs import NPairs
from kerasdml.losses.nca import NCA
from kerasdml.losses.normalized_softmax import NormalizedSoftmax
from kerasdml.losses.nt_xent import NTXent
from kerasdml.losses.p2s_grad import P2SGrad
from kerasdml.losses.pnp import PNP
from kerasdml.losses.proxy_anchor import ProxyAnchor
from kerasdml.losses.proxy_nca import ProxyNCA
from kerasdml.losses.proxy_synthesis import ProxySynthesis
from kerasdml.losses.quadruplet import Quadruplet
from kerasdml.losses.ranked_list import RankedList
from kerasdml.losses.recall_at_k import RecallAtK
from kerasdml.losses.relational_distillation import RelationalDistillation
from kerasdml.losses.second_order_similarity import SecondOrderSimilarity
from kerasdml.losses.simsiam import SimSiam
from kerasdml.losses.smooth_ap import SmoothAP
from kerasdml.losses.soft_nearest_neighbor import SoftNearestNeighbor
from kerasdml.losses.soft_triple import SoftTriple
from kerasdml.losses.sphere_face import SphereFace
from kerasdml.losses.structured_gaussian import StructuredGaussian
from kerasdml.losses.sub_center_arc_face import SubCenterArcFace
from kerasdml.losses.sum import Sum
from kerasdml.losses.sup_con import SupCon
from kerasdml.losses.threshold_consistent_margin import ThresholdConsistentMargin
from kerasdml.losses.triplet import Triplet
from kerasdml.losses.tuplet_margin import TupletMargin
from kerasdml.losses.vicreg import VICReg
from kerasdml.losses.weighted_pairs import WeightedPairs
from kerasdml.losses.zero_mean import ZeroMean

__all__ = [
    "AdaCos",
    "AdaFace",
    "Angular",
    "ArcFace",
    "BarlowTwins",
    "BinomialDeviance",
    "Center",
    "CentroidTriplet",
    "Circle",
    "Contrastive",
    "ContrastiveBayesian",
    "CosFace",
    "CurricularFace",
    "DenoisingMultiSimilarity",
    "DistancePreserving",
    "DiverseEnsemble",
    "DynamicProxyNCA",
    "DynamicSoftMargin",
    "EmbeddingNorm",
    "Ensemble",
    "FastAP",
    "GeneralizedLiftedStructure",
    "GlobalOrthogonal",
    "HIER",
    "Histogram",
    "Instance",
    "IntraPairVariance",
    "KoLeo",
    "LargeMarginSoftmax",
    "LiftedStructure",
    "MagFace",
    "Manifold",
    "Margin",
    "ModalityAwareTriplet",
    "MultipleNegativesRanking",
    "MultiProxiesAnchor",
    "MultiSimilarity",
    "NCA",
    "NormalizedSoftmax",
    "NPairs",
    "NTXent",
    "P2SGrad",
    "PNP",
    "ProxyAnchor",
    "ProxyNCA",
    "ProxySynthesis",
    "Quadruplet",
    "RankedList",
    "RecallAtK",
    "RelationalDistillation",
    "SecondOrderSimilarity",
    "SimSiam",
    "SmoothAP",
    "SoftNearestNeighbor",
    "SoftTriple",
    "SphereFace",
    "StructuredGaussian",
    "SubCenterArcFace",
    "Sum",
    "SupCon",
    "ThresholdConsistentMargin",
    "Triplet",
    "TupletMargin",
    "VICReg",
    "WeightedPairs",
    "ZeroMean",
]
