"""Losses: what pulls embeddings of one class together and pushes classes apart.

`PairLoss` and `ProxyLoss` are what a loss of your own builds on.
"""

from kerasdml.losses.arc_face import ArcFace
from kerasdml.losses.base import MetricLoss as MetricLoss
from kerasdml.losses.base import PairLoss as PairLoss
from kerasdml.losses.base import ProxyLoss as ProxyLoss
from kerasdml.losses.contrastive import Contrastive
from kerasdml.losses.lifted_structure import LiftedStructure
from kerasdml.losses.multi_similarity import MultiSimilarity
from kerasdml.losses.n_pairs import NPairs
from kerasdml.losses.proxy_anchor import ProxyAnchor
from kerasdml.losses.proxy_nca import ProxyNCA
from kerasdml.losses.triplet import Triplet

__all__ = [
    "ArcFace",
    "Contrastive",
    "LiftedStructure",
    "MultiSimilarity",
    "NPairs",
    "ProxyAnchor",
    "ProxyNCA",
    "Triplet",
]
