"""From labels and pictures to batches."""

from kerasdml.data.augment import Augment
from kerasdml.data.glyphs import glyphs
from kerasdml.data.images import images
from kerasdml.data.labels import at_least, encode
from kerasdml.data.packs import Pack, from_directory, load_pack
from kerasdml.data.sampler import BalancedBatches, balanced_batches
from kerasdml.data.splits import class_disjoint_split

__all__ = [
    "Augment",
    "BalancedBatches",
    "Pack",
    "at_least",
    "balanced_batches",
    "class_disjoint_split",
    "encode",
    "from_directory",
    "glyphs",
    "images",
    "load_pack",
]
