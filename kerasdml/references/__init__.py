"""References: what the anchors of a batch are compared with, beside the batch."""

from kerasdml.references.all_replicas import AllReplicas
from kerasdml.references.base import References, Source
from kerasdml.references.densely_anchored import DenselyAnchored
from kerasdml.references.embedding_expansion import EmbeddingExpansion
from kerasdml.references.intra_class_augmentation import IntraClassAugmentation
from kerasdml.references.memory_bank import MemoryBank
from kerasdml.references.neighbor_correction import NeighborCorrection
from kerasdml.references.symmetrical_synthesis import SymmetricalSynthesis

__all__ = [
    "AllReplicas",
    "DenselyAnchored",
    "EmbeddingExpansion",
    "IntraClassAugmentation",
    "MemoryBank",
    "NeighborCorrection",
    "References",
    "Source",
    "SymmetricalSynthesis",
]
