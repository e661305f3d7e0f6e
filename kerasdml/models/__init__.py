"""Models: embedders, and what trains them."""

from kerasdml.models.backbones import backbone_names
from kerasdml.models.embedder import Embedder
from kerasdml.models.embedding import embed
from kerasdml.models.ensemble_embedder import Compressor, EnsembleEmbedder
from kerasdml.models.global_local import GlobalLocal
from kerasdml.models.hard_sample_generation import HardSampleGeneration
from kerasdml.models.imprinting import imprint
from kerasdml.models.metric_model import MetricModel

__all__ = [
    "Compressor",
    "Embedder",
    "EnsembleEmbedder",
    "GlobalLocal",
    "HardSampleGeneration",
    "MetricModel",
    "backbone_names",
    "embed",
    "imprint",
]
