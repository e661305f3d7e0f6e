"""Models: embedders, and what trains them."""

from kerasdml.models.backbones import backbone_names
from kerasdml.models.embedder import Embedder
from kerasdml.models.embedding import embed
from kerasdml.models.global_local import GlobalLocal
from kerasdml.models.metric_model import MetricModel

__all__ = ["Embedder", "GlobalLocal", "MetricModel", "backbone_names", "embed"]
