"""Models: embedders, and what trains them."""

from kerasdml.models.backbones import backbone_names
from kerasdml.models.embedder import Embedder
from kerasdml.models.embedding import embed
from kerasdml.models.metric_model import MetricModel

__all__ = ["Embedder", "MetricModel", "backbone_names", "embed"]
