"""From labels and pictures to batches."""

from kerasdml.data.augment import Augment
from kerasdml.data.benchmarks import load_benchmark
from kerasdml.data.cluster_batches import ClusterBatches, cluster_batches
from kerasdml.data.glyphs import glyphs
from kerasdml.data.hard_class_batches import HardClassBatches, hard_class_batches
from kerasdml.data.images import images
from kerasdml.data.labels import at_least, encode
from kerasdml.data.packs import Pack, from_directory, load_pack
from kerasdml.data.pair_batches import PairBatches, pair_batches
from kerasdml.data.representative_batches import (
    RepresentativeBatches,
    representative_batches,
)
from kerasdml.data.sampler import BalancedBatches, balanced_batches
from kerasdml.data.splits import class_disjoint_folds, class_disjoint_split
from kerasdml.data.two_modality_batches import (
    TwoModalityBatches,
    two_modality_batches,
)

__all__ = [
    "Augment",
    "BalancedBatches",
    "ClusterBatches",
    "HardClassBatches",
    "Pack",
    "PairBatches",
    "RepresentativeBatches",
    "TwoModalityBatches",
    "at_least",
    "balanced_batches",
    "class_disjoint_folds",
    "class_disjoint_split",
    "cluster_batches",
    "encode",
    "from_directory",
    "glyphs",
    "hard_class_batches",
    "images",
    "load_benchmark",
    "load_pack",
    "pair_batches",
    "representative_batches",
    "two_modality_batches",
]
