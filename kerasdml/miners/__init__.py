"""Miners: which of a batch's pairs a loss gets to see."""

from kerasdml.miners.base import Miner
from kerasdml.miners.batch_hard import BatchHard
from kerasdml.miners.multi_similarity import MultiSimilarity

__all__ = ["BatchHard", "Miner", "MultiSimilarity"]
