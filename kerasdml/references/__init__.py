"""References: what the anchors of a batch are compared with, beside the batch."""

from kerasdml.references.all_replicas import AllReplicas
from kerasdml.references.base import References, Source
from kerasdml.references.memory_bank import MemoryBank

__all__ = ["AllReplicas", "MemoryBank", "References", "Source"]
