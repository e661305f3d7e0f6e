"""Layers: what is trained or remembered beside the embedder, and parts of embedders."""

from kerasdml.layers.boundaries import Boundaries
from kerasdml.layers.conditional_squeeze_excite import ConditionalSqueezeExcite
from kerasdml.layers.moving_average import MovingAverage
from kerasdml.layers.moving_histogram import MovingHistogram
from kerasdml.layers.normalization import L2Normalization
from kerasdml.layers.orthogonal_fusion import OrthogonalFusion
from kerasdml.layers.pooling import GeM
from kerasdml.layers.predictor import Predictor
from kerasdml.layers.preprocessing import ImageNetPreprocessing
from kerasdml.layers.proxies import Proxies
from kerasdml.layers.scheduled import Scheduled
from kerasdml.layers.second_order_attention import SecondOrderAttention
from kerasdml.layers.stateful import Seed, StatefulLayer

__all__ = [
    "Boundaries",
    "ConditionalSqueezeExcite",
    "GeM",
    "ImageNetPreprocessing",
    "L2Normalization",
    "MovingAverage",
    "MovingHistogram",
    "OrthogonalFusion",
    "Predictor",
    "Proxies",
    "Scheduled",
    "SecondOrderAttention",
    "Seed",
    "StatefulLayer",
]
