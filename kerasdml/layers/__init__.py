"""Layers: what is trained or remembered beside the embedder, and parts of embedders."""

from kerasdml.layers.boundaries import Boundaries
from kerasdml.layers.channel_frequencies import ChannelFrequencies
from kerasdml.layers.conditional_squeeze_excite import ConditionalSqueezeExcite
from kerasdml.layers.ensemble_weights import EnsembleWeights
from kerasdml.layers.hierarchical_proxies import HierarchicalProxies
from kerasdml.layers.moving_average import MovingAverage
from kerasdml.layers.moving_histogram import MovingHistogram
from kerasdml.layers.normalization import L2Normalization
from kerasdml.layers.orthogonal_fusion import OrthogonalFusion
from kerasdml.layers.poincare import ToPoincare
from kerasdml.layers.pooling import GeM
from kerasdml.layers.predictor import Predictor
from kerasdml.layers.preprocessing import ImageNetPreprocessing
from kerasdml.layers.proxies import Proxies
from kerasdml.layers.running_means import RunningMeans
from kerasdml.layers.sample_weights import SampleWeights
from kerasdml.layers.scheduled import Scheduled
from kerasdml.layers.second_order_attention import SecondOrderAttention
from kerasdml.layers.stateful import Seed, StatefulLayer
from kerasdml.layers.transformation_bank import TransformationBank
from kerasdml.layers.weighted_heads import WeightedHeads

__all__ = [
    "Boundaries",
    "ChannelFrequencies",
    "ConditionalSqueezeExcite",
    "EnsembleWeights",
    "GeM",
    "HierarchicalProxies",
    "ImageNetPreprocessing",
    "L2Normalization",
    "MovingAverage",
    "MovingHistogram",
    "OrthogonalFusion",
    "Predictor",
    "Proxies",
    "SampleWeights",
    "RunningMeans",
    "Scheduled",
    "SecondOrderAttention",
    "Seed",
    "StatefulLayer",
    "WeightedHeads",
    "TransformationBank",
    "ToPoincare",
]
