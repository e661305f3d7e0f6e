"""From labels and pictures to batches."""

from kerasdml.data.labels import at_least, encode
from kerasdml.data.sampler import BalancedBatches, balanced_batches

__all__ = [
    "BalancedBatches",
    "at_least",
    "balanced_batches",
    "encode",
]
