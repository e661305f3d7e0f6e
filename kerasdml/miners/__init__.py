"""Miners: which of a batch's pairs a loss gets to see."""

from kerasdml.miners.angular import Angular
from kerasdml.miners.base import Miner
from kerasdml.miners.batch_easy_hard import BatchEasyHard
from kerasdml.miners.batch_hard import BatchHard
from kerasdml.miners.distance_weighted import DistanceWeighted
from kerasdml.miners.hdc import HDC
from kerasdml.miners.multi_label import MultiLabel
from kerasdml.miners.multi_similarity import MultiSimilarity
from kerasdml.miners.n_hardest import NHardest
from kerasdml.miners.pair_margin import PairMargin
from kerasdml.miners.representatives import Representatives
from kerasdml.miners.semi_hard import SemiHard
from kerasdml.miners.triplet_margin import TripletMargin
from kerasdml.miners.uniform_histogram import UniformHistogram

__all__ = [
    "Angular",
    "BatchEasyHard",
    "BatchHard",
    "DistanceWeighted",
    "HDC",
    "Miner",
    "MultiLabel",
    "MultiSimilarity",
    "NHardest",
    "PairMargin",
    "Representatives",
    "SemiHard",
    "TripletMargin",
    "UniformHistogram",
]
